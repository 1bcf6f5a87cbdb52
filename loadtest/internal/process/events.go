package process

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sluice/loadtest/internal/centrifuge"
	"sluice/loadtest/internal/eventstream"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
)

// events is what a client has that reads server-sent events.
type events struct {
	decoder eventstream.Decoder
	chunks  *eventstream.Chunks // nil: the body comes as it is
	id      []byte              // of the last event: where a resumer goes on; empty without one
}

// eventMax is how large an event may be: a payload in base64, in an envelope.
const eventMax = 2 * payload.SizeMax

func newEvents() *events { return &events{decoder: eventstream.Decoder{Limit: eventMax}} }

// pause ends a stay. One that does not resume forgets where it was.
func (v *events) pause(resumes bool) {
	v.decoder, v.chunks = eventstream.Decoder{Limit: eventMax}, nil
	if !resumes {
		v.id = v.id[:0]
	}
}

// appendAsk appends the request. Whoever has an id goes on behind it.
func (c *client) appendAsk(dst []byte) []byte {
	dst = fmt.Appendf(dst, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n", c.room.eventPath, c.room.target.Host)
	for _, line := range c.w.process.askLines {
		dst = append(append(dst, line...), "\r\n"...)
	}
	if len(c.events.id) > 0 {
		dst = append(append(append(dst, "Last-Event-ID: "...), c.events.id...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// begin judges the head of the answer.
func (v *events) begin(head []byte) error {
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	switch {
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("events: server answered %q", answer.Status)
	case strings.TrimSpace(kind) != "text/event-stream":
		return fmt.Errorf("events: server answered with content of type %q", kind)
	case slices.Contains(answer.TransferEncoding, "chunked"):
		v.chunks = new(eventstream.Chunks)
	}
	return nil
}

// endedBare is what it means that the connection ended without a word.
func (c *client) endedBare() string {
	if c.events != nil {
		return "the server ended the stream of events"
	}
	return "the server ended the connection without a Close frame"
}

// hear takes what came of the body, and reports whether the client is still there.
func (c *client) hear(p []byte) bool {
	if c.events.chunks == nil {
		return c.hearEvents(p)
	}
	for len(p) > 0 && c.state == joined {
		body, n, err := c.events.chunks.Next(p)
		if err != nil {
			c.end(FaultClosed, err.Error())
			return false
		}
		p = p[n:]
		if !c.hearEvents(body) {
			return false
		}
	}
	return c.state != gone
}

// hearEvents takes events out of p until it is used up.
func (c *client) hearEvents(p []byte) bool {
	now := int64(c.w.process.Now())
	for len(p) > 0 && c.state == joined {
		e, n, isEvent, err := c.events.decoder.Next(p)
		if err != nil {
			c.end(FaultProtocol, err.Error())
			return false
		}
		p = p[n:]
		if isEvent {
			c.heardEvent(&e, now)
		}
	}
	return c.state != gone
}

// heardEvent acts on one event.
func (c *client) heardEvent(e *eventstream.Event, now int64) {
	at, isPosition := eventstream.ParsePosition(e.ID)
	if !e.HasData {
		if e.HasID { // Where the stream begins. What comes shows whether that is right.
			c.events.id = append(c.events.id[:0], e.ID...)
			if isPosition {
				c.at.move(at)
			}
		}
		return
	}
	data := e.Data
	if c.w.process.cfg.Protocol == load.Centrifuge { // Data is JSON there, whoever hears it.
		data = centrifuge.Text(data)
	}
	switch string(e.Type) {
	case "reset":
		c.heardReset(e, now)
		return
	case "close":
		c.end(FaultClosed, "the server closed with "+string(e.Data))
		return
	case "binary":
		var err error
		if data, err = base64.StdEncoding.AppendDecode(nil, e.Data); err != nil {
			c.end(FaultProtocol, "a binary event is not in base64")
			return
		}
	}
	c.receive(&c.membership, data, at, isPosition, now)
	if isPosition {
		c.events.id = append(c.events.id[:0], e.ID...)
	}
}

// A reset says that the stream goes on somewhere else.
type reset struct {
	Reason string `json:"reason"`
	Missed uint64 `json:"missed"`
}

// heardReset excuses as many messages as the positions say that were left out.
func (c *client) heardReset(e *eventstream.Event, now int64) {
	var said reset
	if json.Unmarshal(e.Data, &said) != nil {
		c.end(FaultProtocol, "the data of a reset cannot be read")
		return
	}
	missing := c.at.reset(eventstream.ParsePosition(e.ID))
	if missing == unlimited && said.Missed > 0 {
		missing = said.Missed
	}
	c.events.id = append(c.events.id[:0], e.ID...)
	c.wasReset(&c.membership, missing, said.Reason, now)
}

// wasReset excuses what a client was told that it will not get.
func (c *client) wasReset(m *membership, missing uint64, why string, now int64) {
	c.w.faults.say("reset: "+why, 1)
	m.check.excuse(missing, m.room.streams)
	c.tookOwed(m, m.at.owed, now)
}
