package wstest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// An Event is one of a stream, by the rules of "Server-sent events" in the WHATWG's HTML, 9.2.6.
// The reader here is written from those and shares nothing with the gateway.
type Event struct {
	Type string // "message" where the stream names none
	Data string
	ID   string // the last event id then, as a browser has it
}

// Events reads a stream of them.
type Events struct {
	*Client
	Head   *http.Response
	Retry  string // what the stream said last
	Beats  int    // comments so far
	in     *bufio.Reader
	id     string // of the last event that is whole …
	nextID string // … and what the one under way has said
	cr     bool   // the line before ended with CR: an LF belongs to it
	wasBOM bool
}

// Listen asks for a path's events, with more header lines, and reads the answer's head.
func Listen(t testing.TB, addr, path string, lines ...string) *Events {
	t.Helper()
	return ListenBy(Connect(t, addr), path, lines...)
}

// ListenBy is Listen on a connection that is there.
func ListenBy(c *Client, path string, lines ...string) *Events {
	c.T.Helper()
	c.Send(PlainGet(path, append([]string{"Accept: text/event-stream"}, lines...)...))
	e := EventsOf(c)
	if e.Head.StatusCode != http.StatusOK || e.Head.Header.Get("Content-Type") != "text/event-stream" {
		c.T.Fatalf("%s: %s, %v", path, e.Head.Status, e.Head.Header)
	}
	return e
}

// EventsOf reads the answer's head and leaves its events.
func EventsOf(c *Client) *Events {
	c.T.Helper()
	head, err := http.ReadResponse(c.In, nil)
	if err != nil {
		c.T.Fatalf("no answer: %v", err)
	}
	return &Events{Client: c, Head: head, in: bufio.NewReader(head.Body)}
}

// ReadEvents makes Events of a stream that came in another way.
func ReadEvents(r io.Reader) *Events { return &Events{in: bufio.NewReader(r)} }

// LastID is the last event id: with what a browser comes back. It is kept behind whole events
// alone.
func (e *Events) LastID() string { return e.id }

// Next reads the next event. The error at the stream's end is io.EOF, and what was begun there is
// dropped, as a browser drops it.
func (e *Events) Next() (Event, error) {
	var data strings.Builder
	kind, hasData := "", false
	for {
		line, err := e.line()
		if err != nil {
			return Event{}, err
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			e.id = e.nextID
			if hasData {
				if kind == "" {
					kind = "message"
				}
				return Event{Type: kind, Data: strings.TrimSuffix(data.String(), "\n"), ID: e.id}, nil
			}
			kind = ""
		case line[0] == ':':
			e.Beats++
		case field == "event":
			kind = value
		case field == "data":
			hasData = true
			data.WriteString(value + "\n")
		case field == "id" && !strings.Contains(value, "\x00"):
			e.nextID = value
		case field == "retry":
			e.Retry = value
		}
	}
}

// line reads one, which ends with LF, CR or CRLF, and waits for nothing behind it.
func (e *Events) line() (string, error) {
	var line []byte
	for {
		if _, err := e.in.Peek(1); errors.Is(err, io.ErrUnexpectedEOF) {
			return "", io.EOF
		} else if err != nil {
			return "", err
		}
		p, _ := e.in.Peek(e.in.Buffered())
		if e.cr && p[0] == '\n' {
			p = p[1:]
			_, _ = e.in.Discard(1)
		}
		e.cr = false
		end := bytes.IndexAny(p, "\r\n")
		if end < 0 {
			line = append(line, p...)
			_, _ = e.in.Discard(len(p))
			continue
		}
		line = append(line, p[:end]...)
		e.cr = p[end] == '\r'
		_, _ = e.in.Discard(end + 1)
		if !e.wasBOM {
			e.wasBOM = true
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		return string(line), nil
	}
}

// Expect reads one event, which is to be this.
func (e *Events) Expect(kind, data string) Event {
	e.T.Helper()
	got, err := e.Next()
	if err != nil || got.Type != kind || got.Data != data {
		e.T.Fatalf("got %s %q, %v; want %s %q", got.Type, Clip(got.Data), err, kind, Clip(data))
	}
	return got
}

// ExpectOver reads the end of the stream, without another event, and closes the connection, as a
// browser does.
func (e *Events) ExpectOver() {
	e.T.Helper()
	if got, err := e.Next(); err == nil || isTimeout(err) {
		e.T.Fatalf("the stream goes on with %s %q, %v", got.Type, Clip(got.Data), err)
	}
	e.Close()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// AwaitBeat waits until a comment has come, or an event, which fails the test.
func (e *Events) AwaitBeat() {
	e.T.Helper()
	for was, end := e.Beats, time.Now().Add(testenv.Patience); e.Beats == was; {
		line, err := e.line()
		if err != nil || time.Now().After(end) {
			e.T.Fatalf("no comment came: %q, %v", line, err)
		}
		if strings.HasPrefix(line, ":") {
			e.Beats++
		}
	}
}
