package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Trust is whose certificates a command bears.
type Trust struct {
	CACert   string `name:"cacert" help:"A file of authorities in PEM that certificates may be of, in the place of the system's." placeholder:"FILE" xor:"trust" env:"-"`
	Insecure bool   `help:"Bear any certificate." xor:"trust" env:"-"`
}

// config is what TLS is spoken by.
func (t *Trust) config() (*tls.Config, error) {
	if t.CACert == "" {
		return &tls.Config{InsecureSkipVerify: t.Insecure}, nil // as --insecure asks
	}
	text, err := os.ReadFile(t.CACert)
	if err != nil {
		return nil, fmt.Errorf("--cacert: %w", err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--cacert %s: there is no certificate in PEM in it", t.CACert)
	}
	return cfg, nil
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
