package wsproto

import (
	"bytes"
	"fmt"
	"strings"
)

// A HostPolicy says which names are a server's own. A page's owner can have the page's name lead
// to somebody else's machine (DNS rebinding): the browser then takes that machine for the page's
// own server, and says so in Origin and Host alike. Only the name itself gives it away.
//
// Addresses and localhost are always a server's own, because nobody else can have them as names. A
// policy from ParseHosts takes what it lists besides.
type HostPolicy struct {
	any  bool
	list []string // in lower case, see matchesHost
}

// ParseHosts makes a policy from a list of names, as app.example.com or *.example.com for all below
// it. "*" stands for every name.
func ParseHosts(entries []string) (HostPolicy, error) {
	var p HostPolicy
	for _, entry := range entries {
		if entry == "*" {
			p.any = true
			continue
		}
		name, isBelow := strings.CutPrefix(entry, "*.")
		host, port, fault := splitHostPort([]byte(name))
		switch {
		case strings.Contains(entry, "/"):
			fault = "must be a host name without a scheme, as app.example.com"
		case fault == "" && len(port) > 0:
			fault = "must be a host name without a port"
		case fault == "" && isBelow:
			fault = belowFault(host)
		}
		if fault != "" {
			return HostPolicy{}, fmt.Errorf("host %q: %s", entry, fault)
		}
		p.list = append(p.list, strings.ToLower(strings.TrimSuffix(entry, ".")))
	}
	return p, nil
}

// IsOwn judges the value of a Host header, whatever port it names.
func (p *HostPolicy) IsOwn(host []byte) bool {
	if p.any {
		return true
	}
	name, _, fault := splitHostPort(host)
	if fault != "" {
		return false
	}
	name = bytes.TrimSuffix(name, []byte{'.'}) // "localhost." is localhost.
	if isAddress(name) || equalFold(name, "localhost") {
		return true
	}
	for _, own := range p.list {
		if matchesHost(name, own) {
			return true
		}
	}
	return false
}

// HostName returns the name in a Host header as ParseHosts takes it; empty if there is none.
func HostName(host []byte) string {
	name, _, _ := splitHostPort(host)
	return strings.ToLower(string(name))
}

// matchesHost compares a name with one of ours in lower case, or with "*." and one of ours: that is
// every name with one label or more in front of it.
func matchesHost(name []byte, own string) bool {
	below, isBelow := strings.CutPrefix(own, "*")
	if !isBelow {
		return equalFold(name, own)
	}
	front := len(name) - len(below)
	return front > 0 && equalFold(name[front:], below) && !hasEmptyLabel(name[:front])
}

// belowFault says why "*." cannot stand in front of a name, empty if it can.
func belowFault(name []byte) string {
	last := name[bytes.LastIndexByte(name, '.')+1:]
	switch {
	case hasEmptyLabel(name):
		return "must have a name behind *., as *.example.com"
	case name[0] == '[' || isDigit(last[0]):
		return "must have a name behind *., not an address"
	case len(last) == len(name) && !equalFold(name, "localhost"):
		return "must have two labels or more behind *., or everybody's names would match"
	}
	return ""
}

func hasEmptyLabel(name []byte) bool {
	return len(name) == 0 || name[0] == '.' || name[len(name)-1] == '.' || bytes.Contains(name, []byte(".."))
}

// splitHostPort splits host[:port]. A missing port and an empty one are the same (RFC 3986 §3.2.3).
// The host may be in brackets and keeps them.
func splitHostPort(s []byte) (host, port []byte, fault string) {
	host = s
	if i := bytes.LastIndexByte(s, ':'); i > bytes.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if len(port) > 0 && !isPort(port) {
			return nil, nil, "port must be a number from 1 to 65535 without leading zeros"
		}
	}
	if !isHostName(host) {
		return nil, nil, "host must be a name in ASCII (punycode), an IPv4 address, or an IPv6 address in brackets"
	}
	return host, port, ""
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

// isAddress reports whether a host is an IP address as browsers write it: IPv6 in brackets, or four
// decimal numbers. What a browser makes one of before it asks (2130706433, 0x7f.1) is none here.
func isAddress(host []byte) bool {
	if len(host) > 0 && host[0] == '[' {
		return true // isHostName has seen the rest, and no name has brackets.
	}
	for n := 1; ; n++ {
		number, rest, more := bytes.Cut(host, []byte{'.'})
		if len(number) == 0 || len(number) > 3 || len(number) > 1 && number[0] == '0' {
			return false
		}
		value := 0
		for _, c := range number {
			if !isDigit(c) {
				return false
			}
			value = value*10 + int(c-'0')
		}
		if value > 255 || more == (n == 4) {
			return false
		}
		if n == 4 {
			return true
		}
		host = rest
	}
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
