package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// A rawClient writes chosen bytes and reads what comes back with independent parsers. It has no goroutine of its own.
type rawClient struct {
	*net.TCPConn
	t        testing.TB
	in       *bufio.Reader
	wait     time.Duration // for each read and each send, not for all of them: a long test on a slow machine is no error
	peeks    time.Duration // if not zero, for the reads of a peek
	deflates bool          // agreed on compression: RSV1 is allowed
}

// Read implements io.Reader, and fails when nothing has come for as long as the client waits.
func (c *rawClient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(cmp.Or(c.peeks, c.wait))); err != nil {
		return 0, err
	}
	return c.TCPConn.Read(p)
}

// peek waits at most so long for something to read.
func (c *rawClient) peek(wait time.Duration) ([]byte, error) {
	c.peeks = wait
	defer func() { c.peeks = 0 }()
	return c.in.Peek(1)
}

// connect opens a TCP connection; every read and every send on it fails after patience.
func connect(t testing.TB, addr string) *rawClient {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &rawClient{TCPConn: conn.(*net.TCPConn), t: t, wait: patience}
	c.in = bufio.NewReader(c)
	return c
}

// join opens a WebSocket and sends what follows the request in the same segment.
func join(t testing.TB, addr, path string, behind ...[]byte) *rawClient {
	t.Helper()
	c := connect(t, addr)
	c.send(upgradeHead(path), bytes.Join(behind, nil))
	c.expectUpgrade()
	return c
}

// narrow keeps the kernel from growing the client's receive buffer, so that a gateway soon meets a refused write. A smaller one
// would make loopback, with its segments of 64 KiB, wait for a probe of the window five times a second.
func (c *rawClient) narrow() *rawClient {
	c.t.Helper()
	if err := c.SetReadBuffer(128 << 10); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// send writes the parts in one write, which on loopback is one segment unless it is large.
func (c *rawClient) send(parts ...[]byte) {
	c.t.Helper()
	if err := c.SetWriteDeadline(time.Now().Add(c.wait)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	if _, err := c.Write(bytes.Join(parts, nil)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	_ = c.SetWriteDeadline(time.Time{})
}

// trySend is send to a gateway that may have closed already.
func (c *rawClient) trySend(p []byte) { _, _ = c.Write(p) }

// reset ends the connection with RST instead of FIN.
func (c *rawClient) reset() {
	c.t.Helper()
	if err := c.SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.Close()
}

// response reads one HTTP response with its body.
func (c *rawClient) response() (*http.Response, string) {
	c.t.Helper()
	return c.responseTo(http.MethodGet)
}

func (c *rawClient) responseTo(method string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
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

func (c *rawClient) expectUpgrade() {
	c.t.Helper()
	r, _ := c.response()
	if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != sampleAccept {
		c.t.Fatalf("got %s %v, want 101 with %s", r.Status, r.Header, sampleAccept)
	}
}

// expectRefusal reads the one response of a refused request, and the end of the connection behind it.
func (c *rawClient) expectRefusal(status int) *http.Response {
	c.t.Helper()
	r, body := c.response()
	if r.StatusCode != status {
		c.t.Fatalf("got %s %q, want %d", r.Status, body, status)
	}
	if !r.Close {
		c.t.Errorf("%s without Connection: close", r.Status)
	}
	c.expectEnd()
	return r
}

// frame reads one frame of the server's, whole.
func (c *rawClient) frame() ws.Frame {
	c.t.Helper()
	h, err := ws.ReadHeader(c.in)
	if err != nil {
		c.t.Fatalf("no frame: %v", err)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(c.in, f.Payload); err != nil {
		c.t.Fatalf("frame with header %+v is cut short: %v", h, err)
	}
	isCompressed := c.deflates && f.Header.Rsv == ws.Rsv(true, false, false)
	if f.Header.Masked || f.Header.Rsv != 0 && !isCompressed {
		c.t.Fatalf("frame from the server with header %+v", f.Header)
	}
	return f
}

func (c *rawClient) expectFrame(op ws.OpCode, payload string) {
	c.t.Helper()
	f := c.frame()
	if f.Header.OpCode != op || !f.Header.Fin || string(f.Payload) != payload {
		c.t.Fatalf("got %s, want opcode %#x with %q", describe(f), op, clip(payload))
	}
}

// expectClose reads a Close frame with this code, zero for none, and the end of the connection behind it.
func (c *rawClient) expectClose(code ws.StatusCode) {
	c.t.Helper()
	f := c.frame()
	got, reason := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || code == 0 && len(f.Payload) != 0 || code != 0 && got != code {
		c.t.Fatalf("got %s (code %d, reason %q), want a Close frame with code %d", describe(f), got, reason, code)
	}
	c.expectEnd()
}

// expectEnd reads the end of the stream, by FIN or by RST, with nothing before it.
func (c *rawClient) expectEnd() {
	c.t.Helper()
	if p, err := c.rest(); len(p) > 0 || errors.Is(err, errTimeout) {
		c.t.Fatalf("connection goes on with %q, %v; want its end", clip(string(p)), err)
	}
}

var errTimeout = errors.New("timeout")

// rest reads until the connection ends.
func (c *rawClient) rest() ([]byte, error) {
	p, err := io.ReadAll(c.in)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		err = errTimeout
	}
	return p, err
}

func (c *rawClient) closeWrite() {
	c.t.Helper()
	if err := c.CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}
