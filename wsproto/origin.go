package wsproto

import (
	"bytes"
	"fmt"
	"strings"
)

// An Origin is what an Origin header may say: scheme, host and port (RFC 6454 §7), in lower case.
// The port is empty where it is the scheme's default, so that https://a and https://a:443 are
// equal. The host may be empty where the scheme needs none, as in file://.
type Origin struct{ scheme, host, port string }

// An OriginPolicy lists which web pages may connect, beside those of the server's own (IsSameHost).
// Browsers send their page's origin and no script can change it; the check is what keeps a foreign
// page from using a visitor's network position or cookies. It holds nobody else back.
type OriginPolicy struct {
	any, null bool
	list      []Origin // a host may begin with "*.", see matchesHost
}

// ParseOrigins makes a policy from a list of origins such as "https://example.com",
// "http://localhost:3000", "https://*.example.com" or "file://". "*" stands for every origin,
// "null" for pages without one (sandboxed frames, files in some browsers).
func ParseOrigins(entries []string) (OriginPolicy, error) {
	var p OriginPolicy
	for _, entry := range entries {
		switch entry {
		case "*":
			p.any = true
		case "null":
			p.null = true
		default:
			o, err := parsePattern(entry)
			if err != nil {
				return OriginPolicy{}, err
			}
			p.list = append(p.list, o)
		}
	}
	return p, nil
}

// parsePattern is ParseOrigin for what may have "*." in front of its host.
func parsePattern(s string) (Origin, error) {
	scheme, below, isBelow := strings.Cut(s, "://*.")
	if !isBelow {
		return ParseOrigin(s)
	}
	o, err := ParseOrigin(scheme + "://" + below)
	if err != nil {
		return Origin{}, err
	}
	if fault := belowFault([]byte(o.host)); fault != "" {
		return Origin{}, fmt.Errorf("origin %q: %s", s, fault)
	}
	o.host = "*." + o.host
	return o, nil
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
	if o.port != "" {
		s += ":" + o.port
	}
	return s
}

// ListsAll reports whether the list has "*".
func (p *OriginPolicy) ListsAll() bool { return p.any }

// Lists judges the value of an Origin header. A request without one comes from no page and is the
// caller's to decide.
func (p *OriginPolicy) Lists(origin []byte) bool {
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
	for i := range p.list {
		o := &p.list[i]
		if equalFold(scheme, o.scheme) && matchesHost(name, o.host) && string(port) == o.port {
			return true
		}
	}
	return false
}

// IsSameHost reports whether the page of an Origin header came from the server that a Host header
// names. Behind a proxy that ends TLS only the page knows its scheme, and the proxy may write the
// port that it asks at, or none: to a page at its scheme's default port all default ports are one.
func IsSameHost(origin, host []byte) bool {
	scheme, name, port, fault := splitOrigin(origin)
	hostName, hostPort, hostFault := splitHostPort(host)
	if fault != "" || hostFault != "" || !bytes.EqualFold(name, hostName) {
		return false
	}
	if len(port) == 0 && len(defaultPort(scheme)) > 0 {
		return len(hostPort) == 0 || string(hostPort) == "80" || string(hostPort) == "443"
	}
	return bytes.Equal(port, hostPort)
}

// splitOrigin takes scheme://host[:port] apart; fault says why it is none. The scheme's default
// port becomes none.
func splitOrigin(s []byte) (scheme, host, port []byte, fault string) {
	scheme, rest, ok := bytes.Cut(s, []byte("://"))
	if !ok || !isScheme(scheme) {
		return nil, nil, nil, "must begin with a scheme, like https://example.com"
	}
	if bytes.ContainsAny(rest, "/?#") {
		return nil, nil, nil, "must end with the host or port, without a path or slash"
	}
	byDefault := defaultPort(scheme)
	if len(rest) == 0 && byDefault == "" {
		return scheme, nil, nil, "" // file://
	}
	host, port, fault = splitHostPort(rest)
	switch {
	case fault == "" && len(port) == 0 && rest[len(rest)-1] == ':':
		fault = "port must be a number, or be left out with its colon"
	case string(port) == byDefault:
		port = nil
	}
	return scheme, host, port, fault
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

// defaultPort returns the port a scheme of the web implies, empty for any other scheme. Some
// clients that are no browsers say ws and wss.
func defaultPort(scheme []byte) string {
	switch {
	case equalFold(scheme, "http"), equalFold(scheme, "ws"):
		return "80"
	case equalFold(scheme, "https"), equalFold(scheme, "wss"):
		return "443"
	}
	return ""
}
