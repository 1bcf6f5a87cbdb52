package gateway

import (
	"sluice/gateway/sse"
	"sluice/wsproto"
)

// A client that asks for /sse/{room} hears the room as server-sent events: another encoding of the
// same log, read by a member like any other. The answer ends with its connection, so it has no
// length and is in no chunks: HTTP/1.0 understands it, and a proxy puts it into chunks if it must.

const (
	eventsAllow = "Allow: GET, HEAD, OPTIONS\r\n"
	eventsHead  = "HTTP/1.1 200 OK\r\nContent-Type: " + sse.ContentType + "\r\nCache-Control: no-store\r\n" +
		"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n" // nginx would collect events otherwise.
	eventsOptions = "HTTP/1.1 204 No Content\r\n" + eventsAllow + "Cache-Control: no-store\r\n"
)

var (
	refusedEventsMethod = &wsproto.Refusal{
		Status: 405, Reason: wsproto.ReasonMethod, Header: eventsAllow,
		Text: "Events are read with GET. What clients publish comes by /ws.",
	}
	refusedEventsBody = explain(wsproto.ReasonBody, "A request for events has no body.")
)

// answerEvents answers a request for a room's events, whose head is the first n bytes of p and has
// been parsed, and reports whether to read on.
func (c *conn) answerEvents(room string, p []byte, n int, answer *verdict) bool {
	r := &c.w.request
	leave, refusal := c.w.server.judgeReader(r)
	if refusal == nil {
		refusal = checkEventsRequest(r)
	}
	if refusal == nil && string(r.Method) == "OPTIONS" {
		return c.answerInPlace(eventsOptions+leave.forPreflight(), "", c.isLastRequest(), p[n:])
	}
	var q *question
	if refusal == nil {
		q, refusal = c.hearEvents(room, answer, leave)
	}
	switch {
	case refusal != nil:
		return c.refuse(leave.on(refusal), p[:n])
	case q != nil:
		return c.park(q, p)
	case c.life == reading: // HEAD.
		return c.answerInPlace(eventsHead+leave.header(), "", c.isLastRequest(), p[n:])
	case c.life == open && len(p) > n:
		return c.overhear(len(p) - n)
	}
	return c.life == open
}

// isLastRequest reports whether the connection ends with the answer to the parsed request.
func (c *conn) isLastRequest() bool { return !c.w.request.KeepsAlive() || c.past == wasHanded }

// checkEventsRequest refuses what cannot be answered with events, whoever asks.
func checkEventsRequest(r *wsproto.Request) *wsproto.Refusal {
	body, refusal := r.BodyLength()
	switch string(r.Method) {
	case "GET", "HEAD", "OPTIONS":
	default:
		return refusedEventsMethod
	}
	if refusal == nil && body > 0 {
		refusal = refusedEventsBody
	}
	return refusal
}

// hearEvents lets the client of the parsed request into the room and begins the answer, unless it
// is HEAD that asks. Where somebody has to be asked who the client is, it returns the question.
func (c *conn) hearEvents(room string, answer *verdict, leave crossOrigin) (*question, *wsproto.Refusal) {
	r := &c.w.request
	if !isRoomName(room) {
		return nil, refusedRoomName
	}
	if refusal := c.heedForwarded(r); refusal != nil {
		return nil, refusal
	}
	who, q, refusal := c.authenticate(room, answer)
	if q != nil || refusal != nil {
		return q, refusal
	}
	may := c.w.cfg.permissions(who, room)
	begin, refusal := eventsStart(r, may)
	switch {
	case refusal != nil:
		return nil, refusal
	case may&begin.want != begin.want:
		return nil, c.w.cfg.refuseRoom(who)
	}
	if string(r.Method) == "HEAD" {
		return nil, nil
	}
	joined, q, refusal := c.joinAt(room, encodingEvents, begin.start, who, answer)
	if q != nil || refusal != nil {
		return q, refusal
	}
	c.setLife(open)
	c.past = listens
	c.remember(who, room)
	c.attend(who, room)
	c.w.stats.Streams++
	c.logJoined(room, encodingEvents)
	h := append(append(c.w.header[:0], eventsHead...), leave.header()...)
	h = append(h, "Connection: close\r\n\r\n"...)
	h = sse.AppendRetry(h, c.w.comeBack(cutSpread))
	c.w.header = begin.appendStart(h, joined)
	c.send(c.w.header)
	c.startClocks()
	return nil, nil
}
