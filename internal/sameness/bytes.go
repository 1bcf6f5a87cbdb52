package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"strconv"
	"strings"
)

// What clients send is made here, not by the gateway's packages: it must not change with them.

// First bytes of frames.
const (
	fin          = 0x80
	rsv1         = 0x40
	continuation = 0x0
	text         = 0x1
	binaryOp     = 0x2
	closing      = 0x8
	ping         = 0x9
	pong         = 0xA
)

var mask = [4]byte{0xA1, 0x02, 0x00, 0xFF}

// frame is a masked frame with the shortest header.
func frame(first byte, payload string) []byte {
	switch n := len(payload); {
	case n < 126:
		return masked(append([]byte{first}, 0x80|byte(n)), payload)
	case n < 1<<16:
		return masked(binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(n)), payload)
	default:
		return masked(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(n)), payload)
	}
}

// masked appends mask and payload to the beginning of a header.
func masked(header []byte, payload string) []byte {
	p := append(bytes.Clone(header), mask[:]...)
	for i := range len(payload) {
		p = append(p, payload[i]^mask[i%4])
	}
	return p
}

func message(payload string) []byte { return frame(fin|text, payload) }

// closeFrame carries a status code and a reason.
func closeFrame(code int, reason string) []byte {
	return frame(fin|closing, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

var bye = closeFrame(1000, "")

func join(pieces ...[]byte) []byte { return bytes.Join(pieces, nil) }

// deflated is a payload without context, as permessage-deflate has it.
func deflated(payload string, level int) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, level) // Fails for no level that is used here.
	_, _ = w.Write([]byte(payload))    // A buffer takes everything.
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// request is an HTTP request of these lines.
func request(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

const (
	host    = "Host: gateway.test"
	up      = "Upgrade: websocket"
	conn    = "Connection: Upgrade"
	version = "Sec-WebSocket-Version: 13"
	key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	offer   = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// handshake asks for the run's own room.
func handshake(more ...string) []byte { return handshakeAt("/ws/{room}", more...) }

func handshakeAt(target string, more ...string) []byte {
	return request(append([]string{"GET " + target + " HTTP/1.1", host, up, conn, version, key}, more...)...)
}

// A cut is a way to send bytes in pieces.
type cut struct {
	name string
	cut  func([]byte) [][]byte
}

var (
	whole    = cut{"whole", func(p []byte) [][]byte { return [][]byte{p} }}
	halves   = cut{"halves", func(p []byte) [][]byte { return [][]byte{p[:len(p)/2], p[len(p)/2:]} }}
	bytewise = cut{"by bytes", func(p []byte) (pieces [][]byte) {
		step := max(1, len(p)/200)
		for ; len(p) > step; p = p[step:] {
			pieces = append(pieces, p[:step])
		}
		return append(pieces, p)
	}}
)

// pattern is text of a length, another one for each seed, that deflates as text does.
func pattern(n, seed int) string {
	p := make([]byte, 0, n+64)
	for i := int64(seed); len(p) < n; i = (i*7919 + 17) % 1_000_003 {
		p = append(p, "so the "...)
		p = strconv.AppendInt(p, i, 10)
		p = append(p, " quick brown foxes jump; "...)
	}
	return string(p[:n])
}

// letters is what names may be made of.
func letters(n int) string { return strings.Repeat("abcdefghij", n/10+1)[:n] }

func many(line string, n int) (lines []string) {
	for range n {
		lines = append(lines, line)
	}
	return lines
}

// padded is a good request head of a length.
func padded(n int) []byte {
	without := len(handshakeAt("/ws/x", "A: "))
	return handshakeAt("/ws/x", "A: "+letters(n-without))
}
