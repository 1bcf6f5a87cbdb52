package wstest

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

	"sluice/internal/testenv"
)

// A Client writes chosen bytes and reads what comes back with independent parsers. It has no
// goroutine of its own.
type Client struct {
	*net.TCPConn
	T        testing.TB
	In       *bufio.Reader // where it reads from
	Wait     time.Duration // for each read and each send, not for all of them: a long test on a slow machine is no error
	peeks    time.Duration // if not zero, for the reads of a peek
	Deflates bool          // agreed on compression: RSV1 is allowed
}

// Read implements io.Reader, and fails when nothing has come for as long as the client waits.
func (c *Client) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(cmp.Or(c.peeks, c.Wait))); err != nil {
		return 0, err
	}
	return c.TCPConn.Read(p)
}

// Peek waits at most so long for something to read.
func (c *Client) Peek(wait time.Duration) ([]byte, error) {
	c.peeks = wait
	defer func() { c.peeks = 0 }()
	return c.In.Peek(1)
}

// Connect opens a TCP connection; every read and every send on it fails after Patience.
func Connect(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, testenv.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &Client{TCPConn: conn.(*net.TCPConn), T: t, Wait: testenv.Patience}
	c.In = bufio.NewReader(c)
	return c
}

// Join opens a WebSocket and sends what follows the request in the same segment.
func Join(t testing.TB, addr, path string, behind ...[]byte) *Client {
	t.Helper()
	c := Connect(t, addr)
	c.Send(UpgradeHead(path), bytes.Join(behind, nil))
	c.ExpectUpgrade()
	return c
}

// Narrow keeps the kernel from growing the client's receive buffer, so that a gateway soon meets a
// refused write. A smaller one would make loopback, with its segments of 64 KiB, wait for a probe
// of the window five times a second.
func (c *Client) Narrow() *Client {
	c.T.Helper()
	if err := c.SetReadBuffer(128 << 10); err != nil {
		c.T.Fatal(err)
	}
	return c
}

// Send writes the parts in one write, which on loopback is one segment unless it is large.
func (c *Client) Send(parts ...[]byte) {
	c.T.Helper()
	if err := c.SetWriteDeadline(time.Now().Add(c.Wait)); err != nil {
		c.T.Fatalf("send: %v", err)
	}
	if _, err := c.Write(bytes.Join(parts, nil)); err != nil {
		c.T.Fatalf("send: %v", err)
	}
	_ = c.SetWriteDeadline(time.Time{})
}

// TrySend is Send to a gateway that may have closed already.
func (c *Client) TrySend(p []byte) { _, _ = c.Write(p) }

// Reset ends the connection with RST instead of FIN.
func (c *Client) Reset() {
	c.T.Helper()
	if err := c.SetLinger(0); err != nil {
		c.T.Fatal(err)
	}
	c.Close()
}

// Response reads one HTTP response with its body.
func (c *Client) Response() (*http.Response, string) {
	c.T.Helper()
	return c.ResponseTo(http.MethodGet)
}

// ResponseTo is Response to a request with another method than GET.
func (c *Client) ResponseTo(method string) (*http.Response, string) {
	c.T.Helper()
	r, err := http.ReadResponse(c.In, &http.Request{Method: method})
	if err != nil {
		c.T.Fatalf("no response: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.T.Fatalf("body of %s: %v", r.Status, err)
	}
	return r, string(body)
}

// ExpectUpgrade reads the answer to UpgradeHead, which is to be 101.
func (c *Client) ExpectUpgrade() {
	c.T.Helper()
	r, _ := c.Response()
	if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != SampleAccept {
		c.T.Fatalf("got %s %v, want 101 with %s", r.Status, r.Header, SampleAccept)
	}
}

// ExpectRefusal reads the one response of a refused request, and the end of the connection behind
// it.
func (c *Client) ExpectRefusal(status int) *http.Response {
	c.T.Helper()
	r, body := c.Response()
	if r.StatusCode != status {
		c.T.Fatalf("got %s %q, want %d", r.Status, body, status)
	}
	if !r.Close {
		c.T.Errorf("%s without Connection: close", r.Status)
	}
	c.ExpectEnd()
	return r
}

// Frame reads one frame of the server's, whole.
func (c *Client) Frame() ws.Frame {
	c.T.Helper()
	h, err := ws.ReadHeader(c.In)
	if err != nil {
		c.T.Fatalf("no frame: %v", err)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(c.In, f.Payload); err != nil {
		c.T.Fatalf("frame with header %+v is cut short: %v", h, err)
	}
	isCompressed := c.Deflates && f.Header.Rsv == ws.Rsv(true, false, false)
	if f.Header.Masked || f.Header.Rsv != 0 && !isCompressed {
		c.T.Fatalf("frame from the server with header %+v", f.Header)
	}
	return f
}

// ExpectFrame reads one frame, which is to be this one.
func (c *Client) ExpectFrame(op ws.OpCode, payload string) {
	c.T.Helper()
	f := c.Frame()
	if f.Header.OpCode != op || !f.Header.Fin || string(f.Payload) != payload {
		c.T.Fatalf("got %s, want opcode %#x with %q", Describe(f), op, Clip(payload))
	}
}

// ExpectClose reads a Close frame with this code, zero for none, and the end of the connection
// behind it.
func (c *Client) ExpectClose(code ws.StatusCode) {
	c.T.Helper()
	f := c.Frame()
	got, reason := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || code == 0 && len(f.Payload) != 0 || code != 0 && got != code {
		c.T.Fatalf("got %s (code %d, reason %q), want a Close frame with code %d", Describe(f), got, reason, code)
	}
	c.ExpectEnd()
}

// ExpectEnd reads the end of the stream, by FIN or by RST, with nothing before it.
func (c *Client) ExpectEnd() {
	c.T.Helper()
	if p, err := c.Rest(); len(p) > 0 || errors.Is(err, ErrTimeout) {
		c.T.Fatalf("connection goes on with %q, %v; want its end", Clip(string(p)), err)
	}
}

// ErrTimeout is what Rest returns when a connection goes on.
var ErrTimeout = errors.New("timeout")

// Rest reads until the connection ends.
func (c *Client) Rest() ([]byte, error) {
	p, err := io.ReadAll(c.In)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		err = ErrTimeout
	}
	return p, err
}

// EndWrites ends the client's half of the stream.
func (c *Client) EndWrites() {
	c.T.Helper()
	if err := c.CloseWrite(); err != nil {
		c.T.Fatal(err)
	}
}
