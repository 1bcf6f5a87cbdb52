package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A healthCommand asks a gateway how it is, where there is nothing else to ask with: in a container
// from scratch.
type healthCommand struct {
	URL     string        `arg:"" optional:"" help:"Where to ask: http://host:port/livez or /readyz, or unix:/path/to/socket, with :/readyz behind it for that. Without a path /livez: is it alive?" default:"http://localhost:8080/livez"`
	Timeout time.Duration `help:"How long it may take to answer." default:"3s" env:"-"`
	Trust
}

// Run asks. What is not 200 is an error.
func (c *healthCommand) Run(p *program) error {
	where, err := parseEndpoint(c.URL, "http", "/livez")
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	client, err := where.client(&c.Trust)
	if err != nil {
		return usageError{err}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return usageError{err}
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", c.URL, unreached(err))
	}
	defer answer.Body.Close()
	line, _ := bufio.NewReader(io.LimitReader(answer.Body, 200)).ReadString('\n')
	line = strings.TrimSpace(line)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %q", c.URL, answer.Status, line)
	}
	fmt.Fprintf(p.stdout, "%s\n", printable(line))
	return nil
}

// An endpoint is a place on a gateway, which may be reached by a unix socket.
type endpoint struct {
	url.URL
	socket string
}

// parseEndpoint reads a URL of the scheme or its secure twin, an address without one, or unix:PATH
// and maybe :/PATH behind it. path stands where none is given.
func parseEndpoint(text, scheme, path string) (e endpoint, err error) {
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		socket, behind, _ := strings.Cut(socket, ":")
		if socket == "" {
			return e, fmt.Errorf("%q has no path, as in unix:/run/sluice.sock", text)
		}
		e.socket, text = socket, scheme+"://localhost"+behind
	}
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return e, err
	}
	if u.Scheme != scheme && u.Scheme != scheme+"s" || u.Host == "" {
		return e, fmt.Errorf("%q is no place to ask at: write %s://host:port or unix:/path/to/socket", text, scheme)
	}
	e.URL = *u
	if e.Path == "" || e.Path == "/" {
		e.Path = path
	}
	return e, nil
}

// client speaks HTTP/1.1 to the endpoint, with no proxy between and nothing kept open.
func (e *endpoint) client(trust *Trust) (*http.Client, error) {
	cfg, err := trust.config()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: cfg}
	if e.socket != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.socket)
		}
	}
	return &http.Client{Transport: t}, nil
}
