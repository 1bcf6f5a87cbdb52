package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// socketPathMax is what a unix socket's path may have: sun_path without its end (unix(7)).
const socketPathMax = 107

// systemdPrefix begins an address of --listen that stands for sockets which systemd has opened and
// passes on (systemd.socket(5)): systemd: for all, systemd:NAME for those of that
// FileDescriptorName.
const systemdPrefix = "systemd:"

// addressFault says what is wrong with an address to listen on, and what may have been meant. It is
// empty for one that may work: whether it does is found out by listening.
func addressFault(address string) string {
	fault := faultIn(address)
	if fault == "" {
		return ""
	}
	if guess := meant(address); guess != address && faultIn(guess) == "" {
		fault += "; did you mean " + guess + "?"
	}
	return fault
}

func faultIn(address string) string {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		switch {
		case path == "":
			return "has no path, as in unix:/run/sluice.sock"
		case len(path) > socketPathMax:
			return fmt.Sprintf("has a path of more than %d bytes, which no socket can have", socketPathMax)
		}
		return ""
	}
	if strings.HasPrefix(address, systemdPrefix) && !strings.ContainsAny(address, " \t") {
		return ""
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil, host == "*", strings.ContainsAny(address, "/ \t"):
		return "is not host:port"
	case port == "":
		return "has no port"
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Sprintf("%q is no port: it must be 0 to 65535, where 0 lets the system choose", port)
	}
	return ""
}

// meant guesses what was meant by an address that cannot work. The guess may be no better, or the
// same.
func meant(address string) string {
	guess := strings.TrimSpace(address)
	if _, behind, ok := strings.Cut(guess, "://"); ok {
		guess, _, _ = strings.Cut(behind, "/")
	}
	guess = strings.TrimPrefix(guess, "*")
	host, port := guess, "8080"
	if last := strings.LastIndexByte(guess, ':'); last >= 0 && (last+1 == len(guess) || isPort(guess[last+1:])) {
		host, port = guess[:last], cmp.Or(guess[last+1:], port)
	}
	switch {
	case strings.HasPrefix(guess, "/"), strings.HasPrefix(guess, "."):
		return "unix:" + guess
	case isPort(guess):
		return ":" + guess
	case isAddress(guess) && !isAddress(host): // ::1, whose end is no port
		host, port = guess, "8080"
	case host == "unix", strings.Contains(host, ":") && !isAddress(host), host != "" && strings.Trim(host, "0123456789") == "":
		return address
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}

// A Proxy is a network that proxies connect from. The zero Proxy is whoever connects by a unix
// socket.
type Proxy struct{ netip.Prefix }

// UnmarshalText parses a network, or the word unix.
func (p *Proxy) UnmarshalText(text []byte) error {
	if string(text) == "unix" {
		*p = Proxy{}
		return nil
	}
	network, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a network: write 192.0.2.0/24, 192.0.2.1/32 for one address, or unix", text)
	}
	p.Prefix = network
	return nil
}

// networks are the proxies that the library has to be told of: it counts nobody who comes by a unix
// socket.
func networks(proxies []Proxy) (all []netip.Prefix) {
	for _, p := range proxies {
		if p.IsValid() {
			all = append(all, p.Prefix)
		}
	}
	return all
}

// String is what UnmarshalText reads.
func (p Proxy) String() string {
	if !p.IsValid() {
		return "unix"
	}
	return p.Prefix.String()
}

// A Mode is a file's permissions, written in octal.
type Mode uint32

// UnmarshalText parses one to four octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return errors.New("permissions are octal, such as 0660, and at most 0777")
	}
	*m = Mode(n)
	return nil
}

// String is what UnmarshalText reads.
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }
