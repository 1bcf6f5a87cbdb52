package wstest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/wsproto"
)

// ExpectBoth reads a message and a pong, in whichever order: a pong is the client's own and does
// not wait for the room.
func ExpectBoth(c *Client, text, pong string) {
	c.T.Helper()
	got := map[ws.OpCode]string{}
	for range 2 {
		f := c.Frame()
		got[f.Header.OpCode] = string(f.Payload)
	}
	if got[ws.OpText] != text || got[ws.OpPong] != pong {
		c.T.Fatalf("got %q, want message %q and pong %q", got, text, pong)
	}
}

// CloseCode reads until a Close frame comes, and returns its code and the frames before it.
func CloseCode(c *Client) (code ws.StatusCode, before []ws.Frame) {
	c.T.Helper()
	for {
		f := c.Frame()
		if f.Header.OpCode == ws.OpClose {
			code, _ = ws.ParseCloseFrameData(f.Payload)
			return code, before
		}
		before = append(before, f)
	}
}

// Pour writes p again and again until the connection ends, at most n times.
func Pour(c *Client, p []byte, n int) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			if _, err := c.Write(p); err != nil {
				return
			}
		}
	}()
	return func() { c.Close(); <-done }
}

// Stick stops a client's stream in the middle of a large frame, and returns the messages that the
// room was sent.
func Stick(t *testing.T, addr string) (c *Client, sent []string) {
	t.Helper()
	c = Join(t, addr, "/ws/stage").Narrow()
	publisher := Join(t, addr, "/ws/stage")
	for i := range 3 {
		m := strings.Repeat(fmt.Sprint(i), 300<<10) // together less than a publish window, or it would wait
		sent = append(sent, m)
		publisher.Send(Masked(ws.OpBinary, true, m))
		publisher.ExpectFrame(ws.OpBinary, m)
	}
	publisher.Close()
	return c, sent
}

// UpgradeRaw opens a connection, upgrades it, and returns it with nothing read beyond the answer.
func UpgradeRaw(addr, path string) (net.Conn, error) {
	return UpgradeRawBy(&net.Dialer{}, addr, path)
}

// UpgradeRawBy is UpgradeRaw with a dialer of the caller's.
func UpgradeRawBy(d *net.Dialer, addr, path string) (net.Conn, error) {
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(wsproto.AppendClientHandshake(nil, addr, path, "dGhlIHNhbXBsZSBub25jZQ==")); err != nil {
		return nil, err
	}
	var head []byte
	one := make([]byte, 1)
	for wsproto.HeadEnd(head, 0) == 0 {
		if _, err := c.Read(one); err != nil {
			return nil, err
		}
		head = append(head, one[0])
	}
	if string(head[:12]) != "HTTP/1.1 101" {
		return nil, fmt.Errorf("answered %q", head)
	}
	return c, nil
}
