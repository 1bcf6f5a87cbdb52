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

	"sluice/loadtest/internal/eventstream"
	"sluice/loadtest/internal/payload"
)

// events is what a client has that reads server-sent events.
type events struct {
	decoder eventstream.Decoder
	chunks  *eventstream.Chunks // nil: the body comes as it is
	id      []byte              // of the last event: where a resumer goes on; empty without one
	jumped  uint64              // offsets that ids have left out, and that nothing has filled
	owed    uint64              // messages that had been sent when it returned, and have not come
	counts  EventCounts
}

// EventCounts are what readers of events saw, beside messages.
type EventCounts struct {
	Resets    uint64 // events that told of a gap
	Excused   uint64 // messages that did not come, and of which a reset had told
	Misplaced uint64 // ids that are not the next one, for which no lost message accounts
}

func (n *EventCounts) add(o EventCounts) {
	n.Resets += o.Resets
	n.Excused += o.Excused
	n.Misplaced += o.Misplaced
}

// eventMax is how large an event may be: a payload in base64, in an envelope.
const eventMax = 2 * payload.SizeMax

func newEvents() *events { return &events{decoder: eventstream.Decoder{Limit: eventMax}} }

// pause ends a stay. One that does not resume forgets where it was.
func (v *events) pause(resumes bool) {
	v.decoder, v.chunks, v.owed = eventstream.Decoder{Limit: eventMax}, nil, 0
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
	if !e.HasData {
		if e.HasID { // Where the stream begins. What comes shows whether that is right.
			c.events.id = append(c.events.id[:0], e.ID...)
		}
		return
	}
	data := e.Data
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
	before := c.check.counts
	c.deliver(data, now)
	after := &c.check.counts
	switch {
	case after.Reordered > before.Reordered: // It fills what an id had left out.
		c.events.jumped -= min(c.events.jumped, 1)
	case after.Duplicated > before.Duplicated: // It is counted as such, wherever it is.
		c.events.repeat(e)
	default:
		c.events.stand(e)
	}
	if after.Delivered > before.Delivered {
		c.tookOwed(1, now)
	}
}

// A reset says that the stream goes on somewhere else.
type reset struct {
	Reason string `json:"reason"`
	Missed uint64 `json:"missed"`
}

// heardReset excuses as many messages as the positions say that were left out. Where nobody can tell,
// that is any number.
func (c *client) heardReset(e *eventstream.Event, now int64) {
	v := c.events
	var said reset
	if json.Unmarshal(e.Data, &said) != nil {
		c.end(FaultProtocol, "the data of a reset cannot be read")
		return
	}
	was, wasKnown := eventstream.ParsePosition(v.id)
	is, isKnown := eventstream.ParsePosition(e.ID)
	budget := uint64(unlimited)
	switch {
	case wasKnown && isKnown && bytes.Equal(was.Epoch, is.Epoch):
		if is.Offset < was.Offset {
			v.counts.Misplaced++
		}
		budget = max(is.Offset, was.Offset) - was.Offset
	case said.Missed > 0:
		budget = said.Missed
	}
	v.id = append(v.id[:0], e.ID...)
	v.counts.Resets++
	c.w.faults.say("reset: "+said.Reason, 1)
	c.check.excuse(budget, c.room.streams)
	c.tookOwed(v.owed, now)
}

// repeat moves to the position of a message that came before, if it is the next one.
func (v *events) repeat(e *eventstream.Event) {
	was, wasKnown := eventstream.ParsePosition(v.id)
	is, isKnown := eventstream.ParsePosition(e.ID)
	if wasKnown && isKnown && bytes.Equal(was.Epoch, is.Epoch) && is.Offset == was.Offset+1 {
		v.id = append(v.id[:0], e.ID...)
	}
}

// stand moves to an event's position, which should be the next one.
func (v *events) stand(e *eventstream.Event) {
	was, wasKnown := eventstream.ParsePosition(v.id)
	is, isKnown := eventstream.ParsePosition(e.ID)
	switch {
	case !e.HasID && len(v.id) == 0: // A server that gives none.
		return
	case !isKnown:
		v.counts.Misplaced++
	case !wasKnown:
	case !bytes.Equal(was.Epoch, is.Epoch) || is.Offset <= was.Offset:
		v.counts.Misplaced++
	default:
		v.jumped += is.Offset - was.Offset - 1
	}
	v.id = append(v.id[:0], e.ID...)
}

// foundEvents are the client's counts at the end of the run: what ids have left out is a fault where
// no message is missing.
func (c *client) foundEvents() EventCounts {
	n := c.events.counts
	n.Misplaced += c.events.jumped - min(c.events.jumped, c.check.missed+uint64(len(c.check.gaps)))
	n.Excused = c.check.excused(c.room.streams, c)
	return n
}
