package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Target is where clients connect.
type Target struct {
	URL   string
	Addr  netip.AddrPort
	Host  string // for the Host header
	Paths []string
	TLS   *tls.Config // nil for ws://
}

// Aim resolves the targets, and raises the number of publishers so that each target has one. The
// load must be prepared; an error is a UsageError.
func (c *Load) Aim(urls []string) ([]*Target, error) {
	var all []*Target
	for _, raw := range urls {
		t, err := ParseTarget(raw, c.Rooms, c.Insecure)
		if err != nil {
			return nil, UsageError{err}
		}
		all = append(all, t)
	}
	c.Publishers = max(c.Publishers, len(all))
	if n := c.Rooms * len(all); n > c.Clients {
		return nil, UsageError{fmt.Errorf("--clients %d: there are %d rooms for them", c.Clients, n)}
	}
	if c.CrowdSizes()[KindReader] < c.Publishers {
		return nil, UsageError{fmt.Errorf("--clients %d: too few for %d publishers and the crowd", c.Clients, c.Publishers)}
	}
	return all, nil
}

// tlsConfig speaks HTTP/1.1 alone: an upgrade is not possible in HTTP/2.
func tlsConfig(serverName string, insecure bool) *tls.Config {
	return &tls.Config{ServerName: serverName, InsecureSkipVerify: insecure, NextProtos: []string{"http/1.1"}}
}

const resolveTimeout = 10 * time.Second

// ParseTarget resolves a URL. {room} in its path stands for the room's name; without it there can
// be one room only. insecure takes any certificate.
func ParseTarget(raw string, rooms int, insecure bool) (*Target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("%q: write ws://host:port/path or wss://host:port/path", raw)
	}
	t := &Target{URL: raw, Host: u.Host}
	if u.Scheme == "wss" {
		t.TLS = tlsConfig(u.Hostname(), insecure)
	}
	if t.Addr, err = resolve(u); err != nil {
		return nil, err
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	path = strings.NewReplacer("%7Broom%7D", "{room}", "%7broom%7d", "{room}").Replace(path)
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	if rooms > 1 && !strings.Contains(path, "{room}") {
		return nil, errors.New("--rooms needs {room} in the URL, as in ws://127.0.0.1:8080/ws/{room}")
	}
	for i := range rooms {
		t.Paths = append(t.Paths, strings.ReplaceAll(path, "{room}", "room-"+strconv.Itoa(i)))
	}
	return t, nil
}

func resolve(u *url.URL) (netip.AddrPort, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not a port", port)
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := all[0].Unmap()
	for _, other := range all {
		// Only there is a whole network of loopback addresses to connect from.
		if other.Unmap().Is4() {
			addr = other.Unmap()
			break
		}
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}
