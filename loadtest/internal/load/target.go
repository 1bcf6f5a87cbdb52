package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Target is where clients connect.
type Target struct {
	URL        string
	Addr       netip.AddrPort
	Host       string      // for the Host header
	Paths      []string    // by room
	EventPaths []string    // … and those of its events; nil if nobody reads them
	TLS        *tls.Config // nil for ws://
	Publishing *Target     // where publishers connect, by the same paths; nil: here
}

// For is where a client connects that publishes, or only reads.
func (t *Target) For(isPublisher bool) *Target {
	if isPublisher && t.Publishing != nil {
		return t.Publishing
	}
	return t
}

// Aim resolves the targets, and raises the number of publishers so that each target has one. The
// load must be prepared; an error is a UsageError.
func (c *Load) Aim(urls []string) ([]*Target, error) {
	var all []*Target
	for _, raw := range urls {
		t, err := c.ParseTarget(raw)
		if err != nil {
			return nil, UsageError{err}
		}
		all = append(all, t)
	}
	if c.PublishAt != "" && len(all) > 1 {
		return nil, UsageError{errors.New("--publish-at: with several URLs each has rooms of its own")}
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
// be one room only.
func (c *Load) ParseTarget(raw string) (*Target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("%q: write ws://host:port/path or wss://host:port/path", raw)
	}
	t := &Target{URL: raw, Host: u.Host}
	if u.Scheme == "wss" {
		t.TLS = tlsConfig(u.Hostname(), c.Insecure)
	}
	if t.Addr, err = resolve(u); err != nil {
		return nil, err
	}
	path := pathOf(u)
	if c.Rooms > 1 && !strings.Contains(path, "{room}") && c.Protocol != Centrifuge {
		return nil, errors.New("--rooms needs {room} in the URL, as in ws://127.0.0.1:8080/ws/{room}")
	}
	t.Paths = c.eachRoom(path)
	if c.SSE > 0 {
		if path, err = c.eventsPath(path); err != nil {
			return nil, err
		}
		t.EventPaths = c.eachRoom(path)
	}
	if c.PublishAt != "" {
		if t.Publishing, err = c.parsePublishAt(u, t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// parsePublishAt is a target at another host.
func (c *Load) parsePublishAt(u *url.URL, t *Target) (*Target, error) {
	if host, port, err := net.SplitHostPort(c.PublishAt); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("--publish-at %q: write host:port", c.PublishAt)
	}
	at, other := *u, *t
	at.Host, other.Host = c.PublishAt, c.PublishAt
	if t.TLS != nil {
		other.TLS = tlsConfig(at.Hostname(), c.Insecure)
	}
	var err error
	other.Addr, err = resolve(&at)
	return &other, err
}

// pathOf is a URL's path and query, as it goes into a request.
func pathOf(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return strings.NewReplacer("%7Broom%7D", "{room}", "%7broom%7d", "{room}").Replace(path)
}

// eachRoom is a path with each room's name.
func (c *Load) eachRoom(path string) (all []string) {
	for i := range c.Rooms {
		all = append(all, strings.ReplaceAll(path, "{room}", RoomName(i)))
	}
	return all
}

// RoomName is that of a target's room with this number.
func RoomName(i int) string { return "room-" + strconv.Itoa(i) }

// eventsPath is where events are: as the gateway has it, for the path of its WebSockets, unless it
// is given.
func (c *Load) eventsPath(path string) (string, error) {
	if c.SSEPath != "" {
		u, err := url.Parse(c.SSEPath)
		switch {
		case err != nil:
			return "", err
		case !strings.HasPrefix(c.SSEPath, "/"):
			return "", fmt.Errorf("--sse-path %q: write /path", c.SSEPath)
		}
		if path = pathOf(u); c.Rooms > 1 && !strings.Contains(path, "{room}") {
			return "", errors.New("--rooms needs {room} in --sse-path, as in /sse/{room}")
		}
		return path, nil
	}
	if c.Protocol == Centrifuge { // Its path does not name a room.
		return "/sse/{room}", nil
	}
	path, query, hasQuery := strings.Cut(path, "?")
	words := strings.Split(path, "/")
	at := slices.Index(words, "ws")
	if at < 0 {
		return "", fmt.Errorf("--sse: %q does not say where events are: give --sse-path", path)
	}
	words[at] = "sse"
	path = strings.Join(words, "/")
	if hasQuery {
		path += "?" + query
	}
	return path, nil
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
