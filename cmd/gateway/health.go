package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: it has not answered within %v", c.URL, c.Timeout)
	case err != nil:
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
