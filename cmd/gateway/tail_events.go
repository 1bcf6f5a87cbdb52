package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/tmaxmax/go-sse"

	"sluice/hub"
)

// eventMax is more than an event of the largest message that a gateway may let through.
const eventMax = 1 << 30

// A follower hears a room as server-sent events, which carry positions.
type follower struct {
	answer *http.Response
	next   func() (sse.Event, error, bool)
	stop   func()
	stderr io.Writer
	last   string // the position that it is behind; empty: none was said
	isPast bool   // what the stream begins with
}

// follow begins behind the position of --since.
func (c *tailCommand) follow(ctx context.Context, stderr io.Writer) (next func() (saying, error), hangUp func(), err error) {
	if _, isPosition := hub.ParsePosition(c.Since); !isPosition {
		return nil, nil, usageError{fmt.Errorf("--since %s: must be an epoch and an offset with a colon between them, as tail --json prints them", printable(c.Since))}
	}
	r, client, err := c.request(ctx, "sse", "since="+url.QueryEscape(c.Since))
	if err != nil {
		return nil, nil, err
	}
	r.URL.Scheme = "http" + strings.TrimPrefix(r.URL.Scheme, "ws")
	answer, err := client.Do(r)
	if err != nil {
		return nil, nil, c.refused(nil, err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, nil, c.refused(answer, nil)
	}
	f := &follower{answer: answer, stderr: stderr}
	f.next, f.stop = iter.Pull2(sse.Read(answer.Body, &sse.ReadConfig{MaxEventSize: eventMax}))
	return f.hear, f.hangUp, nil
}

// hear returns the next message. What is no message is said on standard error, or is the end.
func (f *follower) hear() (saying, error) {
	for {
		e, err, ok := f.next()
		if err == nil && !ok {
			err = errors.New("it ended without a word")
		}
		if err != nil {
			return saying{}, broken(err)
		}
		f.last = shortened(e.LastEventID)
		isStart := !f.isPast && e.Type == "" && f.last != "" // Where it begins, which browsers take for no event.
		f.isPast = true
		switch e.Type {
		case "":
			if isStart {
				continue
			}
			return saying{data: []byte(e.Data), position: f.last}, nil
		case "binary":
			data, err := base64.StdEncoding.DecodeString(e.Data)
			return saying{data: data, isBinary: true, position: f.last}, err
		case "reset":
			f.sayReset(e.Data)
		case "close":
			return saying{}, endOf(e.Data)
		}
	}
}

// shortened is a position without the zeros that an event has in front of its offset.
func shortened(id string) string {
	if p, isPosition := hub.ParsePosition(id); isPosition {
		return printable(p.String())
	}
	return ""
}

// sayReset says that not everything behind a position follows.
func (f *follower) sayReset(data string) {
	var reset struct {
		Reason, Position string
		Missed           uint64
	}
	if json.Unmarshal([]byte(data), &reset) != nil {
		return // A later gateway may say it in another way.
	}
	fmt.Fprintf(f.stderr, "gateway: reset, messages may be missing here: %s", printable(reset.Reason))
	if reset.Missed > 0 {
		fmt.Fprintf(f.stderr, ", %d missed", reset.Missed)
	}
	if reset.Position != "" {
		fmt.Fprintf(f.stderr, "; it goes on behind %s", shortened(reset.Position))
	}
	fmt.Fprintln(f.stderr)
}

// hangUp ends the connection, and says behind which position to go on another time.
func (f *follower) hangUp() {
	_ = f.answer.Body.Close() // First: it may be read.
	f.stop()
	if f.last != "" {
		fmt.Fprintf(f.stderr, "gateway: to go on: --since %s\n", f.last)
	}
}

// endOf says how a stream of events came to its end.
func endOf(data string) error {
	var farewell struct {
		Code   int
		Reason string
	}
	if json.Unmarshal([]byte(data), &farewell) != nil {
		return errors.New("closed by the gateway")
	}
	return fmt.Errorf("closed by the gateway: %d %s", farewell.Code, printable(farewell.Reason))
}
