package gateway

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"sluice/wsproto"
)

// A ForwardedHeader is what trusted proxies name a request's client by. It is one header and not
// whichever there is: a proxy sets the one that it knows and passes the other one on as its client
// wrote it.
type ForwardedHeader uint8

const (
	XForwardedFor ForwardedHeader = iota // X-Forwarded-For: client, proxy, proxy
	Forwarded                            // Forwarded: for=client;proto=https, for=proxy (RFC 7239)
	NoForwarded                          // none is believed
)

// forwardedHeaders are what they are called on the command line.
var forwardedHeaders = [...]string{XForwardedFor: "x-forwarded-for", Forwarded: "forwarded", NoForwarded: "none"}

// String returns its name.
func (h ForwardedHeader) String() string { return forwardedHeaders[h] }

// UnmarshalText takes its name, in any case.
func (h *ForwardedHeader) UnmarshalText(text []byte) error {
	for i, name := range forwardedHeaders {
		if strings.EqualFold(string(text), name) {
			*h = ForwardedHeader(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of x-forwarded-for, forwarded and none", text)
}

// heedForwarded has a WebSocket count for the client that a trusted proxy has named in its request.
func (c *conn) heedForwarded(r *wsproto.Request) *wsproto.Refusal {
	if c.key().IsValid() {
		return nil // It counts for somebody already, so it is no proxy's.
	}
	return c.standFor(c.forwardedFor(r))
}

// forwardedFor is the client that a trusted proxy has named in a request; the zero Addr for none.
//
// Each proxy adds, at the right, whom it was connected to by. So what stands right of the first
// address that is no trusted proxy's was written by trusted ones, and that address is the client;
// what stands left of it may be anything. If all are trusted the leftmost is it.
func (c *conn) forwardedFor(r *wsproto.Request) (client netip.Addr) {
	s := c.w.server
	name := "X-Forwarded-For"
	switch s.config().ForwardedHeader {
	case Forwarded:
		name = "Forwarded"
	case NoForwarded:
		return client
	}
	if r.Header(name) == nil || !c.isFromProxy() {
		return client
	}
	for element := range r.ElementsBackwards(name) {
		if s.config().ForwardedHeader == Forwarded {
			element = forParameter(element)
		}
		from, ok := parseNode(element)
		if !ok {
			return client // A name that hides somebody, or nonsense: who wrote it is as far as is known.
		}
		client = from
		if !s.admission.isProxy(from) {
			return client
		}
	}
	return client
}

// isFromProxy reports whether whoever the connection stands for is a trusted proxy.
func (c *conn) isFromProxy() bool {
	if named := c.named(); named.IsValid() {
		return c.w.server.admission.isProxy(named)
	}
	return c.w.server.trusts(int(c.fd), c.w)
}

// forParameter is the value of for= in an element of Forwarded; empty if there is none, or more
// than one. A semicolon in quotes is part of a value: a client's Host may have one.
func forParameter(element []byte) (node []byte) {
	for more := true; more; {
		pair := element
		i := wsproto.LastUnquoted(element, ';')
		if more = i >= 0; more {
			pair, element = element[i+1:], element[:i]
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte{'='})
		if !bytes.EqualFold(name, []byte("for")) {
			continue
		}
		if node != nil {
			return nil
		}
		node = bytes.Trim(value, `"`)
	}
	return node
}

// parseNode takes an address as proxies write it: 192.0.2.1, 192.0.2.1:4711, 2001:db8::1,
// [2001:db8::1], [2001:db8::1]:4711.
func parseNode(p []byte) (netip.Addr, bool) {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
	if len(p) > longest {
		return netip.Addr{}, false
	}
	text := string(p)
	if from, err := netip.ParseAddrPort(text); err == nil {
		return from.Addr().Unmap().WithZone(""), true
	}
	if n := len(text); n > 2 && text[0] == '[' && text[n-1] == ']' {
		text = text[1 : n-1]
	}
	from, err := netip.ParseAddr(text)
	return from.Unmap().WithZone(""), err == nil
}
