package gateway

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"syscall"

	"github.com/pires/go-proxyproto"

	"sluice/wsproto"
)

// A proxied connection is a conn's transport on a listener with ListenOptions.ProxyProtocol, until
// its header has come: who connects to it is a proxy, which says first whom it speaks for. The
// header's bytes wait here, whatever their pieces, within --handshake-timeout. Nothing is answered:
// a proxy that gets it wrong is closed, and the log says why.
type proxied struct {
	c      *conn
	as     transport // itself, for conn.other to lead to
	head   []byte
	hasTLS bool // TLS is spoken behind it
}

// proxyHeaderMax is the longest header that is taken. Of the second version some have kilobytes, of
// what the client said to the proxy in TLS.
const proxyHeaderMax = 4 << 10

// awaitProxy makes a new connection one that begins with a header.
func (c *conn) awaitProxy(hasTLS bool) {
	t := &proxied{c: c, hasTLS: hasTLS}
	t.as = t
	c.other = &t.as
}

// Read implements transport. What comes behind the header is the first that is read.
func (t *proxied) Read(fd int, p []byte) (int, error) {
	c := t.c
	n, err := c.w.kernel.Read(fd, p)
	if n == 0 || err != nil {
		return n, err
	}
	if !c.w.server.trusts(fd, c.w) {
		t.refuse("it comes from no network of --trusted-proxy")
		return 0, syscall.EAGAIN
	}
	t.head = append(t.head, p[:n]...)
	end, isGood := proxyHeaderEnd(t.head)
	if !isGood {
		t.refuse("it begins with no PROXY header")
		return 0, syscall.EAGAIN
	}
	if end == 0 {
		return 0, syscall.EINTR // There may be more.
	}
	client, err := parseProxyHeader(t.head[:end])
	if err != nil {
		t.refuse("its PROXY header is malformed")
		return 0, syscall.EAGAIN
	}
	behind := t.head[end:] // Of the last read: a header that was whole before it would have ended there.
	c.other = nil
	if t.hasTLS {
		c.secure()
	}
	if refusal := c.standFor(client); refusal != nil {
		c.refuse(refusal, nil)
		return 0, syscall.EAGAIN
	}
	switch {
	case len(behind) == 0:
	case t.hasTLS:
		c.secured().hear(behind)
	default:
		return copy(p, behind), nil
	}
	if c.life != reading {
		return 0, syscall.EAGAIN
	}
	return 0, syscall.EINTR
}

// Write implements transport. There is nobody to tell anything yet.
func (t *proxied) Write(int, []byte) (int, error) { return 0, syscall.EPIPE }

// CloseWrite implements transport.
func (t *proxied) CloseWrite(fd int) error { return t.c.w.kernel.CloseWrite(fd) }

// endGreeting implements greeted.
func (t *proxied) endGreeting(*wsproto.Refusal) bool {
	if t.c.w.drain != nil {
		t.c.die(ClosedDrain)
	} else {
		t.refuse("nothing whole came in time")
	}
	return true
}

// refuse closes a connection without a word.
func (t *proxied) refuse(why string) {
	c := t.c
	if skipped, ok := c.w.server.samples.proxied.Take(c.w.kernel.Now()); ok {
		c.w.log.Warn("closed on a listener for the PROXY protocol", "because", why, "from", c.from(), "and_more", skipped)
	}
	c.die(ClosedProxyHeader)
}

var (
	proxyLine      = []byte("PROXY ")
	proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// proxyHeaderEnd is the length of the header that p begins with, 0 while that cannot be told. It is
// not good if there can be none. A header of the first version is a line of 107 bytes at most.
func proxyHeaderEnd(p []byte) (n int, isGood bool) {
	const lineMax, fixed = 107, 16
	switch {
	case hasBeginning(p, proxyLine):
		if i := bytes.Index(p[:min(len(p), lineMax)], []byte("\r\n")); i >= 0 {
			return i + 2, true
		}
		return 0, len(p) < lineMax
	case !hasBeginning(p, proxySignature):
		return 0, false
	case len(p) < fixed:
		return 0, true
	}
	n = fixed + int(p[14])<<8 + int(p[15])
	if n > proxyHeaderMax {
		return 0, false
	}
	if len(p) < n {
		return 0, true
	}
	return n, true
}

// hasBeginning reports whether p begins with all of it, or with as much as there is of p.
func hasBeginning(p, with []byte) bool {
	n := min(len(p), len(with))
	return bytes.Equal(p[:n], with[:n])
}

// parseProxyHeader returns the client that a header names; the zero Addr where it names none, as a
// proxy does that connects for itself.
func parseProxyHeader(header []byte) (netip.Addr, error) {
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), len(header)))
	if err != nil || h.Command.IsLocal() {
		return netip.Addr{}, err
	}
	from, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, nil
	}
	client, _ := netip.AddrFromSlice(from.IP)
	return client.Unmap(), nil
}
