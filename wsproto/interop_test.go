package wsproto

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"

	"sluice/internal/testenv"
)

var interopSizes = []int{0, 1, 125, 126, 65535, 65536, 1 << 20}

// readHead reads until a head is whole and returns it and what came behind it.
func readHead(conn net.Conn) (head, rest []byte, err error) {
	buf, have := make([]byte, 32<<10), 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return nil, nil, err
		}
		end := HeadEnd(buf[:have+n], have)
		have += n
		if end > 0 {
			return buf[:end], buf[end:have], nil
		}
	}
}

// echo is the smallest server: one connection, every message back, until a Close or a violation has
// been answered. If the client offers it all messages go back compressed, and those that came so
// are counted.
func echo(conn net.Conn, compressed *atomic.Int64) error {
	defer conn.Close()
	head, src, err := readHead(conn)
	if err != nil {
		return err
	}
	var r Request
	if refusal := r.Parse(head); refusal != nil {
		return refusal
	}
	if refusal := r.CheckUpgrade(); refusal != nil {
		return refusal
	}
	deflate, refusal := r.CheckDeflate()
	if refusal != nil {
		return refusal
	}
	if _, err := conn.Write(AppendSwitchingProtocols(nil, r.Key, "", deflate)); err != nil {
		return err
	}
	d := Decoder{Limit: 1 << 20, Deflate: deflate != ""}
	defer d.Release()
	for buf := make([]byte, 32<<10); ; {
		out, last := answer(&d, src, compressed)
		if len(out) > 0 { // an empty write blocks on a pipe
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		src = buf[:n]
	}
}

// answer returns what src makes an echo server send, and whether that is the last of it.
func answer(d *Decoder, src []byte, compressed *atomic.Int64) (out []byte, last bool) {
	for {
		m, n, err := d.Next(src)
		src = src[n:]
		switch {
		case err != nil:
			return AppendClose(out, CloseCode(err), err.Error()), true
		case m.Op == 0:
			return out, false
		case m.Op == OpPing:
			out = AppendFrame(out, OpPong, m.Payload)
		case m.Op == OpClose:
			code, reason, err := ParseClose(m.Payload)
			if err != nil {
				code, reason = CloseCode(err), nil
			}
			return AppendClose(out, code, string(reason)), true
		case d.Deflate:
			if m.Compressed {
				compressed.Add(1)
			}
			deflated := AppendDeflated(nil, m.Payload)
			out = append(AppendDeflatedHeader(out, m.Op, len(deflated)), deflated...)
		default:
			out = AppendFrame(out, m.Op, m.Payload)
		}
	}
}

// startEcho runs echo at the other end of the connection that it returns.
func startEcho(t *testing.T) (client net.Conn, compressed *atomic.Int64) {
	t.Helper()
	client, server := net.Pipe()
	compressed = new(atomic.Int64)
	done := make(chan error, 1)
	go func() { done <- echo(server, compressed) }()
	server.SetDeadline(time.Now().Add(testenv.Patience))
	t.Cleanup(func() { client.Close(); <-done })
	return client, compressed
}

// dialEcho connects gorilla's client to echo through memory.
func dialEcho(t *testing.T) *websocket.Conn {
	c, _ := dialEchoWith(t, websocket.Dialer{})
	return c
}

func dialEchoWith(t *testing.T, dialer websocket.Dialer) (c *websocket.Conn, compressed *atomic.Int64) {
	t.Helper()
	client, compressed := startEcho(t)
	dialer.NetDial = func(string, string) (net.Conn, error) { return client, nil }
	c, _, err := dialer.Dial("ws://here/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, compressed
}

// samples are payloads that compress in every way: not at all, to stored blocks, to fixed and
// dynamic codes, over many blocks.
func samples() [][]byte {
	random := make([]byte, 100_000)
	mathrand.NewChaCha8([32]byte{1}).Read(random)
	list := [][]byte{random[:1], random[:13], random[:200], random, jsonOf(64), jsonOf(1 << 10), jsonOf(200_000)}
	for _, size := range interopSizes {
		list = append(list, bytes.Repeat([]byte("w"), size))
	}
	return list
}

// jsonOf returns size bytes like those of a lively room.
func jsonOf(size int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, `{"id":%d,"user":"user-%d","text":"message number %d","at":%d},`, i, i*7919%1000, i*i, 1_700_000_000+i*37)
	}
	return b[:size]
}

func TestGorillaClientHearsItsEchoCompressed(t *testing.T) {
	c, compressed := dialEchoWith(t, websocket.Dialer{EnableCompression: true})
	levels := []int{-2, 1, 6, 9}
	for _, level := range levels {
		if err := c.SetCompressionLevel(level); err != nil {
			t.Fatal(err)
		}
		for i, want := range samples() {
			if err := c.WriteMessage(websocket.BinaryMessage, want); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.ReadMessage(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("level %d, sample %d: %d bytes, %v; want %d", level, i, len(got), err, len(want))
			}
		}
	}
	if n := int(compressed.Load()); n != len(levels)*len(samples()) {
		t.Errorf("%d messages came compressed", n)
	}
}

func TestCoderClientHearsItsEchoCompressed(t *testing.T) {
	client, compressed := startEcho(t)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
	c, _, err := coder.Dial(ctx, "ws://here/ws", &coder.DialOptions{
		HTTPClient:           &http.Client{Transport: transport},
		CompressionMode:      coder.CompressionContextTakeover, // It asks for a context, and has to do without.
		CompressionThreshold: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	sent := 0
	for i, want := range samples() {
		if err := c.Write(ctx, coder.MessageBinary, want); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("sample %d: %d bytes, %v; want %d", i, len(got), err, len(want))
		}
		if len(want) > 0 { // It leaves what is below the threshold alone.
			sent++
		}
	}
	if n := int(compressed.Load()); n != sent {
		t.Errorf("%d messages came compressed, want %d", n, sent)
	}
}

func TestAnotherClientHearsItsEcho(t *testing.T) {
	c := dialEcho(t)
	for _, size := range interopSizes {
		for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			want := bytes.Repeat([]byte("w"), size)
			if err := c.WriteMessage(kind, want); err != nil {
				t.Fatal(err)
			}
			gotKind, got, err := c.ReadMessage()
			if err != nil || gotKind != kind || !bytes.Equal(got, want) {
				t.Fatalf("size %d kind %d: kind %d, %d bytes, %v", size, kind, gotKind, len(got), err)
			}
		}
	}
}

func TestF27_AnotherClientSeesItsCloseCodeEchoed(t *testing.T) {
	for _, code := range []int{1000, 1001, 1012, 1013, 3000, 4999} { // this client knows no 1014
		c := dialEcho(t)
		if err := c.WriteControl(websocket.CloseMessage, closeBody(code, "bye"), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _, err := c.ReadMessage()
		if ce, ok := errors.AsType[*websocket.CloseError](err); !ok || ce.Code != code || ce.Text != "bye" {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func TestAnotherClientIsToldWhatItBroke(t *testing.T) {
	c := dialEcho(t)
	if err := c.WriteMessage(websocket.TextMessage, []byte("\xff")); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.ReadMessage()
	if ce, ok := errors.AsType[*websocket.CloseError](err); !ok || ce.Code != 1007 || ce.Text != ErrInvalidUTF8.Error() {
		t.Errorf("got %v", err)
	}
}

// TestOtherServersTakeOurClient connects the client half to other servers over loopback, with and
// without compression.
func TestOtherServersTakeOurClient(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{"gorilla": serveGorilla, "coder": serveCoder} {
		for _, deflate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s deflate=%t", name, deflate), func(t *testing.T) {
				server := httptest.NewServer(serve)
				defer server.Close()
				hearEcho(t, server.URL, deflate)
			})
		}
	}
}

func serveGorilla(w http.ResponseWriter, r *http.Request) {
	c, err := (&websocket.Upgrader{EnableCompression: true}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, payload, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, payload) != nil {
			return
		}
	}
}

func serveCoder(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionNoContextTakeover, CompressionThreshold: 1})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, payload, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, payload) != nil {
			return
		}
	}
}

// hearEcho sends the samples, each in two fragments, and checks what comes back.
func hearEcho(t *testing.T, url string, deflate bool) {
	t.Helper()
	conn, d, src := dialServer(t, url, deflate)
	var out []byte
	for _, payload := range samples() {
		first := len(out)
		if deflate {
			payload = AppendDeflated(nil, payload)
		}
		out = AppendMaskedFrame(out, OpBinary, false, testMask, payload[:len(payload)/2])
		if deflate {
			out[first] |= rsv1Bit
		}
		out = AppendMaskedFrame(out, OpContinuation, true, testMask, payload[len(payload)/2:])
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(out)
		sent <- err
	}()
	defer func() { conn.Close(); <-sent }()

	buf := make([]byte, 64<<10)
	for i, want := range samples() {
		m, rest := nextMessage(t, conn, d, src, buf)
		if !bytes.Equal(m.Payload, want) || m.Op != OpBinary {
			t.Errorf("sample %d: opcode %d, %d bytes, want %d", i, m.Op, len(m.Payload), len(want))
		}
		if m.Compressed != deflate && len(want) > 0 { // An empty one may come as it is.
			t.Errorf("sample %d: compressed %t", i, m.Compressed)
		}
		src = rest
	}
}

// dialServer upgrades and returns the connection, a Decoder for it, and what came behind the
// response.
func dialServer(t *testing.T, url string, deflate bool) (net.Conn, *Decoder, []byte) {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testenv.Patience))
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	lines := []string{"Origin: " + url}
	if deflate {
		lines = append(lines, DeflateOffer)
	}
	if _, err := conn.Write(AppendClientHandshake(nil, host, "/ws", key, lines...)); err != nil {
		t.Fatal(err)
	}
	head, src, err := readHead(conn)
	if err != nil {
		t.Fatal(err)
	}
	agreed, err := CheckServerHandshake(head, key, deflate)
	if err != nil || agreed != deflate {
		t.Fatalf("agreed %t, %v: %q", agreed, err, head)
	}
	return conn, &Decoder{Limit: 1<<20 + 1<<10, Client: true, Deflate: deflate}, src
}

// nextMessage decodes src and what is read behind it up to the next message, which is valid until
// buf is used again.
func nextMessage(t *testing.T, conn net.Conn, d *Decoder, src, buf []byte) (m Message, rest []byte) {
	t.Helper()
	for {
		m, n, err := d.Next(src)
		if err != nil {
			t.Fatal(err)
		}
		if m.Op != 0 {
			return m, src[n:]
		}
		if n, err = conn.Read(buf); err != nil {
			t.Fatal(err)
		}
		src = buf[:n]
	}
}
