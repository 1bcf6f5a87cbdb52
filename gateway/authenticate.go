package gateway

import (
	"errors"
	"net/http"
	"strings"

	"sluice/wsproto"
)

// authenticate tells who makes the parsed request for a room. Where that is not known at once it
// returns a question, which is to be asked while the connection is parked; answer is what came of
// it.
func (c *conn) authenticate(room string, answer *verdict) (who *Principal, q *question, refusal *wsproto.Refusal) {
	cfg := c.w.cfg
	if cfg.Auth == nil {
		return &cfg.anonymous, nil, nil
	}
	if answer == nil {
		h, refusal := c.handshake(room)
		if refusal != nil {
			return nil, nil, refusal
		}
		answer = new(verdict)
		began := c.w.loop.Elapsed()
		answer.who, answer.err = cfg.Auth.Judge(h)
		c.w.spent += c.w.loop.Elapsed() - began
		if errors.Is(answer.err, ErrAsk) {
			return nil, &question{c: c, desk: &c.w.server.desk, handshake: h}, nil
		}
	}
	switch {
	case answer.err != nil:
		return nil, nil, refusalOf(answer.err)
	case answer.who.Kind == KindAnonymous:
		return &cfg.anonymous, nil, nil
	}
	answer.who.Kind = KindToken // No client is a backend, whatever an authenticator says.
	return &answer.who, nil, nil
}

// foretell is what a request that is refused as no upgrade gets: where it only asks for none, and
// its client may not be in the room either, that. A page's script learns nothing of why its
// WebSocket was refused, and can ask so.
func (c *conn) foretell(room string, answer *verdict, refused *wsproto.Refusal) (*question, *wsproto.Refusal) {
	r := &c.w.request
	if refused.Reason != wsproto.ReasonNoUpgrade || !isRoomName(room) {
		return nil, refused
	}
	if refusal := c.heedForwarded(r); refusal != nil {
		return nil, refusal
	}
	if refusal := c.w.server.judgePage(r.Header("Origin"), r.Host); refusal != nil {
		return nil, refusal
	}
	who, q, refusal := c.authenticate(room, answer)
	switch {
	case q != nil, refusal != nil:
		return q, refusal
	case c.w.cfg.permissions(who, room)&(Read|Publish) == 0:
		return nil, c.w.cfg.refuseRoom(who)
	}
	return nil, refused
}

// handshake is what the Authenticator is told.
func (c *conn) handshake(room string) (*Handshake, *wsproto.Refusal) {
	r := &c.w.request
	token, refusal := c.w.cfg.tokenOf(r)
	if refusal != nil {
		return nil, refusal
	}
	h := &Handshake{Room: room, Token: token, Address: c.address()}
	for _, name := range c.w.cfg.Auth.Headers() {
		if strings.EqualFold(name, "Cookie") && !isOwnPage(r) {
			continue
		}
		for value := range r.Each(name) {
			if h.Header == nil {
				h.Header = http.Header{}
			}
			h.Header.Add(name, string(value))
		}
	}
	return h, nil
}

// park makes a connection wait until its question is answered: nobody reads it, and the time for
// its handshake goes on, or begins behind an answer. p is all that was read of it, from the request
// on; the head budget counts it. If what it waits for is to be at home it goes there.
func (c *conn) park(q *question, p []byte) bool {
	if c.past == wasAnswered {
		c.w.loop.SetTimer(c.token, c.w.cfg.HandshakeTimeout) // The silence before it had a time of its own.
	}
	if q.home != nil {
		return c.move(q, p)
	}
	c.in = &inbound{head: append([]byte(nil), p...), question: q}
	c.pauseReading(pauseParked)
	q.desk.ask(q)
	c.w.headBudget.hold(c)
	return false
}
