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
