package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"unicode"

	"github.com/coder/websocket"
)

// A Visit is how a command joins a room, as any client does.
type Visit struct {
	Room  string `arg:"" help:"The room's name."`
	URL   string `help:"The gateway: ws://host:port, wss://host, or unix:/path/to/socket; with the path in front of /ws, if there is one. Default: ws://localhost:8080." placeholder:"URL" env:"SLUICE_URL"`
	Token string `help:"A token, sent as Authorization: Bearer. Better in the environment, as SLUICE_TOKEN: others see what a command was started with." placeholder:"TOKEN" env:"SLUICE_TOKEN"`
	Trust
}

// roomFault refuses the names that a path loses: an empty one, as of a variable that is not set,
// would be the lobby. Which others a room may have the gateway says.
func roomFault(name string) error {
	if name == "" || name == "." || name == ".." {
		return usageError{fmt.Errorf("%q is no name that a room may have", name)}
	}
	return nil
}

// request is one for the room behind a path, and the client that makes it.
func (v *Visit) request(ctx context.Context, path, query string) (*http.Request, *http.Client, error) {
	if err := roomFault(v.Room); err != nil {
		return nil, nil, err
	}
	v.URL = cmp.Or(v.URL, "ws://localhost:8080")
	where, err := parseEndpoint(v.URL, "ws", "")
	if err != nil {
		return nil, nil, usageError{err}
	}
	where.URL = *where.JoinPath(path, url.PathEscape(v.Room))
	where.RawQuery = query
	client, err := where.client(&v.Trust)
	if err != nil {
		return nil, nil, usageError{err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, nil, usageError{err}
	}
	if v.Token != "" {
		r.Header.Set("Authorization", "Bearer "+v.Token)
	}
	return r, client, nil
}

// dial opens the room's WebSocket.
func (v *Visit) dial(ctx context.Context, query string) (*websocket.Conn, error) {
	r, client, err := v.request(ctx, "ws", query)
	if err != nil {
		return nil, err
	}
	c, answer, err := websocket.Dial(ctx, r.URL.String(), &websocket.DialOptions{HTTPClient: client, HTTPHeader: r.Header})
	if err != nil {
		return nil, v.refused(answer, err)
	}
	c.SetReadLimit(-1) // The gateway has limits enough.
	return c, nil
}

// refused says why the gateway, which may not have been reached, has not let us into the room.
func (v *Visit) refused(answer *http.Response, err error) error {
	err = refusal(answer, err)
	if answer == nil {
		err = fmt.Errorf("%s: %w", v.URL, err)
	}
	return err
}

// refusal says why a gateway did not open the WebSocket, in its own words if it has any.
func refusal(answer *http.Response, err error) error {
	if answer == nil {
		return unreached(err)
	}
	text := make([]byte, 300)
	n, _ := answer.Body.Read(text)
	return fmt.Errorf("refused: %s: %s", answer.Status, printable(strings.TrimSpace(string(text[:n]))))
}

// unreached says why nobody has answered, and what may help.
func unreached(err error) error {
	var visit *url.Error
	if errors.As(err, &visit) { // What is around it is in a library's words.
		err = visit.Err
	}
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w (--cacert FILE says whom to trust, --insecure trusts anybody)", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens there: %w", err)
	}
	return err
}

// ending says how a WebSocket came to its end.
func ending(err error) error {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return broken(err)
	}
	return fmt.Errorf("closed by the gateway: %d %s", closed.Code, printable(closed.Reason))
}

// broken says that a connection has ended without a word from the gateway.
func broken(err error) error { return fmt.Errorf("the connection broke: %w", err) }

// printable is a stranger's text as a terminal may show it: nothing in it moves the cursor or
// worse.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
