package wsproto

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var interopSizes = []int{0, 1, 125, 126, 65535, 65536, 1 << 20}

// readHead reads until a head is whole and returns it and what came behind it.
func readHead(conn net.Conn) (head, rest []byte, err error) {
	buf, have := make([]byte, MaxHeadBytes), 0
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

// echo is the smallest server: one connection, every message back, until a Close or a violation has been answered.
func echo(conn net.Conn) error {
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
	if _, err := conn.Write(AppendSwitchingProtocols(nil, r.Key, "")); err != nil {
		return err
	}
	d := Decoder{Limit: 1 << 20}
	defer d.Release()
	for buf := make([]byte, 32<<10); ; {
		out, last := answer(&d, src)
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
func answer(d *Decoder, src []byte) (out []byte, last bool) {
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
		case !m.Op.IsControl():
			out = AppendFrame(out, m.Op, m.Payload)
		}
	}
}

// dialEcho connects gorilla's client to echo through memory.
func dialEcho(t *testing.T) *websocket.Conn {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- echo(server) }()
	server.SetDeadline(time.Now().Add(20 * time.Second))
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return client, nil }}
	c, _, err := dialer.Dial("ws://here/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); <-done })
	return c
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

// TestAnotherServerTakesOurClient connects the client half to gorilla's server over loopback.
func TestAnotherServerTakesOurClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
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
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))

	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	if _, err := conn.Write(AppendClientHandshake(nil, host, "/ws", key, "Origin: "+server.URL)); err != nil {
		t.Fatal(err)
	}
	head, src, err := readHead(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckServerHandshake(head, key); err != nil {
		t.Fatal(err)
	}
	var out []byte
	var want outcome
	for _, size := range interopSizes {
		payload := bytes.Repeat([]byte("z"), size)
		out = AppendMaskedFrame(out, OpBinary, false, testMask, payload[:size/2])
		out = AppendMaskedFrame(out, OpContinuation, true, testMask, payload[size/2:])
		want.add(Message{OpBinary, payload})
	}
	go conn.Write(out)

	var got outcome
	d, buf := Decoder{Limit: 1 << 20, Client: true}, make([]byte, 64<<10)
	for len(got.Messages) < len(want.Messages) {
		m, n, err := d.Next(src)
		if err != nil {
			t.Fatal(err)
		}
		if src = src[n:]; m.Op != 0 {
			got.add(m)
			continue
		}
		if n, err = conn.Read(buf); err != nil {
			t.Fatal(err)
		}
		src = buf[:n]
	}
	for i := range want.Messages {
		if got.Messages[i] != want.Messages[i] {
			t.Errorf("message %d: %d bytes, want %d", i, len(got.Messages[i]), len(want.Messages[i]))
		}
	}
}
