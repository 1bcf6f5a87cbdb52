package wsproto

import (
	"bytes"
	"fmt"
	"strings"
)

// An Origin is what an Origin header may say: scheme, host and port (RFC 6454 §7), in lower case.
// The port of a scheme with a default one is always spelled out, so that https://a and
// https://a:443 are equal.
type Origin struct{ scheme, host, port string }

// An OriginPolicy says which web pages may connect. Browsers send their page's origin and no script
// can change it; the check is what keeps a foreign page from using a visitor's network position or
// cookies. It holds nobody else back.
//
// The zero value allows pages of the same origin. A policy from ParseOrigins allows what it lists
// besides.
type OriginPolicy struct {
	any, null bool
	list      []Origin
}

// ParseOrigins makes a policy from a list of origins such as "https://example.com" or
// "http://localhost:3000". "*" stands for every origin, "null" for pages without one (files,
// sandboxed frames).
func ParseOrigins(entries []string) (OriginPolicy, error) {
	var p OriginPolicy
	for _, entry := range entries {
		switch entry {
		case "*":
			p.any = true
		case "null":
			p.null = true
		default:
			o, err := ParseOrigin(entry)
			if err != nil {
				return OriginPolicy{}, err
			}
			p.list = append(p.list, o)
		}
	}
	return p, nil
}

// ParseOrigin takes scheme://host[:port] apart. Errors quote s and say what is wrong with it.
func ParseOrigin(s string) (Origin, error) {
	scheme, host, port, fault := splitOrigin([]byte(s))
	if fault != "" {
		return Origin{}, fmt.Errorf("origin %q: %s", s, fault)
	}
	return Origin{
		scheme: strings.ToLower(string(scheme)),
		host:   strings.ToLower(string(host)),
		port:   string(port),
	}, nil
}

// String returns scheme://host[:port], as a browser would write it.
func (o Origin) String() string {
	s := o.scheme + "://" + o.host
	if o.port != string(defaultPort([]byte(o.scheme))) {
		s += ":" + o.port
	}
	return s
}

// Allows judges the values of the headers Origin and Host. A request without an Origin comes from
// no page and is the caller's to decide: ask only if the header is there.
func (p *OriginPolicy) Allows(origin, host []byte) bool {
	if p.any {
		return true
	}
	if string(origin) == "null" {
		return p.null
	}
	scheme, name, port, fault := splitOrigin(origin)
	if fault != "" {
		return false
	}
	if isSameHost(scheme, name, port, host) {
		return true
	}
	for i := range p.list {
		o := &p.list[i]
		if equalFold(scheme, o.scheme) && equalFold(name, o.host) && string(port) == o.port {
			return true
		}
	}
	return false
}

// isSameHost compares an origin with a Host header. Behind a proxy that ends TLS only the page
// knows its scheme, so it is the origin's scheme that says which port a Host without one means.
func isSameHost(scheme, name, port, hostHeader []byte) bool {
	host, hostPort, fault := splitHostPort(hostHeader, defaultPort(scheme))
	return fault == "" && bytes.EqualFold(name, host) && bytes.Equal(port, hostPort)
}

// splitOrigin takes scheme://host[:port] apart; fault says why it is none. A missing port becomes
// the scheme's default.
func splitOrigin(s []byte) (scheme, host, port []byte, fault string) {
	scheme, rest, ok := bytes.Cut(s, []byte("://"))
	if !ok || !isScheme(scheme) {
		return nil, nil, nil, "must begin with a scheme, like https://example.com"
	}
	if bytes.ContainsAny(rest, "/?#") {
		return nil, nil, nil, "must end with the host or port, without a path or slash"
	}
	host, port, fault = splitHostPort(rest, defaultPort(scheme))
	return scheme, host, port, fault
}

// splitHostPort splits host[:port]; a missing port becomes fallback. The host may be in brackets
// and keeps them.
func splitHostPort(s, fallback []byte) (host, port []byte, fault string) {
	host, port = s, fallback
	if i := bytes.LastIndexByte(s, ':'); i > bytes.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if !isPort(port) {
			return nil, nil, "port must be a number from 1 to 65535 without leading zeros"
		}
	}
	if !isHostName(host) {
		return nil, nil, "host must be a name in ASCII (punycode), an IPv4 address, or an IPv6 address in brackets"
	}
	return host, port, ""
}

func isScheme(s []byte) bool {
	for i, c := range s {
		letter := 'a' <= lower(c) && lower(c) <= 'z'
		if !letter && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(s) > 0
}

func isHostName(s []byte) bool {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		for _, c := range s[1 : len(s)-1] {
			if !isHex(c) && c != ':' && c != '.' {
				return false
			}
		}
		return true
	}
	for _, c := range s {
		letter := 'a' <= lower(c) && lower(c) <= 'z'
		if !letter && !isDigit(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return len(s) > 0
}

func isPort(s []byte) bool {
	n := 0
	for _, c := range s {
		if !isDigit(c) || n > 65535 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(s) > 0 && s[0] != '0' && n <= 65535
}

var port80, port443 = []byte("80"), []byte("443")

// defaultPort returns the port a scheme implies, nil when none.
func defaultPort(scheme []byte) []byte {
	switch {
	case equalFold(scheme, "http"):
		return port80
	case equalFold(scheme, "https"):
		return port443
	}
	return nil
}
