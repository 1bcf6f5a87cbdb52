package wstest

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// OfferDeflate is the header line of a client that wants compression.
const OfferDeflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// Deflated is p as a client sends it, by the standard library.
func Deflated(p string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = io.WriteString(w, p)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// MaskedDeflated is a whole compressed message, of bytes that are deflated already.
func MaskedDeflated(op ws.OpCode, payload []byte) []byte {
	f := ws.NewFrame(op, true, append([]byte(nil), payload...))
	f.Header.Rsv = ws.Rsv(true, false, false)
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{0x37, 0xfa, 0x21, 0x3d}))
}

// DeflatedParts is a compressed message as a client may cut it into frames.
func DeflatedParts(payload []byte, size int) (all []byte) {
	for i := 0; i < len(payload); i += size {
		end := min(i+size, len(payload))
		f := ws.NewFrame(ws.OpContinuation, end == len(payload), append([]byte(nil), payload[i:end]...))
		if i == 0 {
			f.Header.OpCode, f.Header.Rsv = ws.OpBinary, ws.Rsv(true, false, false)
		}
		all = append(all, ws.MustCompileFrame(ws.MaskFrameInPlace(f))...)
	}
	return all
}

// Inflated is the payload of a frame, by the standard library.
func Inflated(t testing.TB, f ws.Frame) string {
	t.Helper()
	if f.Header.Rsv == 0 {
		return string(f.Payload)
	}
	tail := []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff} // what was cut off, and an end
	p, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(f.Payload), bytes.NewReader(tail))))
	if err != nil {
		t.Fatalf("a compressed frame of %d bytes: %v", len(f.Payload), err)
	}
	return string(p)
}

// JoinDeflated opens a raw connection that has agreed to compression.
func JoinDeflated(t testing.TB, addr, path string) *Client {
	t.Helper()
	c := Connect(t, addr)
	c.Send(UpgradeHead(path, OfferDeflate))
	r, _ := c.Response()
	if got := r.Header.Get("Sec-WebSocket-Extensions"); r.StatusCode != 101 || !strings.HasPrefix(got, "permessage-deflate") {
		t.Fatalf("answered %d with extensions %q", r.StatusCode, got)
	}
	c.Deflates = true
	return c
}

// Ticker is a message as dashboards get them, of about 1 KiB.
func Ticker(i int) []byte {
	type quote struct {
		Symbol   string
		Bid, Ask float64
		Volume   int
	}
	var all []quote
	for k := range 16 {
		all = append(all, quote{fmt.Sprintf("SYM%02d", k), 100 + float64(i%97)/8, 101 + float64(i%89)/8, i * k})
	}
	p, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return p
}
