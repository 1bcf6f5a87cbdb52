package gateway

import (
	"sluice/gateway/sse"
	"sluice/hub"
	"sluice/wsproto"
)

const lastEventID = "Last-Event-ID"

// A beginning is where a reader of events wants to begin, and what it has to be told of that.
type beginning struct {
	start  hub.Start
	want   Permission // what that takes
	reason string     // why it cannot be recovered, whatever the room keeps; empty: it may be
}

// eventsStart tells by a request where its reader begins: behind the id that a browser sends when
// it comes back, or that of since= in the address, or with what last= asks for. An id that is none
// was never ours: the room is asked for an epoch that it cannot have, and the reader told.
//
// Whoever may not hear what was said before is refused if it asks for that. A browser comes back
// with an id unasked, and is let in and told.
func eventsStart(r *wsproto.Request, may Permission) (b beginning, refusal *wsproto.Refusal) {
	said, isUnasked := string(r.Header(lastEventID)), true
	if said == "" {
		isUnasked = false
		for v := range queryValues(r.Query, "since") {
			said = v
		}
	}
	if said == "" {
		b.start, b.want, refusal = startOf(r.Query, true)
		return b, refusal
	}
	b.want = Read | History
	if isUnasked && may&History == 0 {
		b.want, b.reason = Read, "not_allowed"
		return b, nil
	}
	var isID bool
	if b.start.Since, isID = hub.ParsePosition(said); !isID {
		b.start.Since, b.reason = hub.Position{Epoch: "?"}, "no_position"
	}
	return b, nil
}

// resetReasons are what a reader is told that is not at the position it has asked for.
var resetReasons = [hub.NumAnswers]string{
	hub.WrongEpoch: "epoch", hub.TooOld: "too_old", hub.BeyondEnd: "beyond_end", hub.NoHistory: "no_history",
}

// appendStart appends what comes before a stream's first event: where it begins, as an event if
// that is not where its reader has asked for.
func (b *beginning) appendStart(dst []byte, joined hub.Joined) []byte {
	reason := b.reason
	if reason == "" && b.start.Since.Epoch != "" {
		reason = resetReasons[joined.Answer]
	}
	position := idOf(joined.Position)
	if reason != "" {
		return sse.AppendReset(dst, sse.Reset{Reason: reason, Position: position})
	}
	return sse.AppendStart(dst, position)
}

// Reset implements hub.Client. A reader of events is told, and goes on.
func (c *conn) Reset(at hub.Position) {
	if c.past == listens && c.life == open {
		c.send(sse.AppendReset(nil, sse.Reset{Reason: resetReasons[hub.WrongEpoch], Position: idOf(at)}))
	}
}

// Rejoined implements hub.Client. A reader of events is told that it has missed something, which
// others cannot be.
func (c *conn) Rejoined(missed uint64, at hub.Position) {
	if c.past == listens && missed > 0 {
		c.send(sse.AppendReset(nil, sse.Reset{Reason: "overrun", Position: idOf(at), Missed: missed}))
	}
}
