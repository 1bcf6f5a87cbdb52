package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// A rawConn writes chosen bytes and has no goroutine.
type rawConn struct {
	net.Conn
	in *bufio.Reader
	t  testing.TB
}

func connect(t testing.TB, network, addr string) *rawConn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{conn, bufio.NewReader(conn), t}
}

// send writes all of it in one write.
func (c *rawConn) send(parts ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(parts, "")); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawConn) response() (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("body of %s: %v", r.Status, err)
	}
	return r, string(body)
}

func (c *rawConn) expectUpgrade() {
	c.t.Helper()
	if r, body := c.response(); r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("%s %v %q, want 101", r.Status, r.Header, body)
	}
}

func (c *rawConn) expectText(text string) {
	c.t.Helper()
	h, err := ws.ReadHeader(c.in)
	if err != nil || h.OpCode != ws.OpText || h.Length != int64(len(text)) {
		c.t.Fatalf("got opcode %d with %d bytes, %v; want %.100q", h.OpCode, h.Length, err, text)
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(c.in, p); err != nil || string(p) != text {
		c.t.Fatalf("got %.100q, %v; want %.100q", p, err, text)
	}
}

// expectEnd reads the end of the connection, with nothing before it.
func (c *rawConn) expectEnd() {
	c.t.Helper()
	if p, err := io.ReadAll(c.in); len(p) > 0 || os.IsTimeout(err) {
		c.t.Errorf("the connection goes on: %q, %v", p, err)
	}
}

func text(s string) string {
	return string(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(s)))))
}

func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\n" + strings.Join(append([]string{"Host: sluice.test"}, append(lines, "", "")...), "\r\n")
}

// upgradeWith is a handshake with further header lines.
func upgradeWith(target string, lines ...string) string {
	return strings.TrimSuffix(handshake(target), "\r\n") + strings.Join(append(lines, "", ""), "\r\n")
}
