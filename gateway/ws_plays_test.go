package gateway

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/wsproto"
)

// expectBoth reads a message and a pong, in whichever order: a pong is the client's own and does not wait for the room.
func expectBoth(c *rawClient, text, pong string) {
	c.t.Helper()
	got := map[ws.OpCode]string{}
	for range 2 {
		f := c.frame()
		got[f.Header.OpCode] = string(f.Payload)
	}
	if got[ws.OpText] != text || got[ws.OpPong] != pong {
		c.t.Fatalf("got %q, want message %q and pong %q", got, text, pong)
	}
}

// closeCode reads until a Close frame comes, and returns its code and the frames before it.
func closeCode(c *rawClient) (code ws.StatusCode, before []ws.Frame) {
	c.t.Helper()
	for {
		f := c.frame()
		if f.Header.OpCode == ws.OpClose {
			code, _ = ws.ParseCloseFrameData(f.Payload)
			return code, before
		}
		before = append(before, f)
	}
}

// pour writes p again and again until the connection ends, at most n times.
func pour(c *rawClient, p []byte, n int) (stop func()) {
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

// stick stops a client's stream in the middle of a large frame, and returns the messages that the room was sent.
func stick(t *testing.T, addr string) (c *rawClient, sent []string) {
	t.Helper()
	c = join(t, addr, "/ws/stage").narrow()
	publisher := join(t, addr, "/ws/stage")
	for i := range 3 {
		m := strings.Repeat(fmt.Sprint(i), 900<<10)
		sent = append(sent, m)
		publisher.send(masked(ws.OpBinary, true, m))
		publisher.expectFrame(ws.OpBinary, m)
	}
	publisher.Close()
	return c, sent
}

// upgradeRaw opens a connection, upgrades it, and returns it with nothing read beyond the answer.
func upgradeRaw(addr, path string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
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
