package gateway

import (
	"bytes"
	"errors"
	"net/http"

	"sluice/wsproto"
)

// explain is the refusal for a reason, in other words.
func explain(reason wsproto.Reason, text string) *wsproto.Refusal {
	r := *wsproto.Refuse(reason)
	r.Text = text
	return &r
}

// refusalOf is the answer to a request that an Authenticator had this error for.
func refusalOf(err error) *wsproto.Refusal {
	denied := new(AuthError)
	if !errors.As(err, &denied) {
		return wsproto.Refuse(wsproto.ReasonAuthDown)
	}
	switch denied.Status {
	case http.StatusUnauthorized:
		return explain(wsproto.ReasonUnauthorized, denied.Text)
	case http.StatusForbidden:
		return wsproto.Refuse(wsproto.ReasonForbidden) // In the same words as any other room that it may not be in.
	}
	return explain(wsproto.ReasonAuthDown, denied.Text)
}

// refuseRoom is the answer to who may not do in a room what it asks for: nothing in it tells
// whether the room exists. A client that is not known might come again with a token.
func (c *config) refuseRoom(who *Principal) *wsproto.Refusal {
	if who.Kind == KindAnonymous && c.Auth != nil {
		return wsproto.Refuse(wsproto.ReasonUnauthorized)
	}
	return wsproto.Refuse(wsproto.ReasonForbidden)
}

// A greeted transport has something said before a request. It ends a connection that is to be
// refused before it can be told so, and reports whether it was one.
type greeted interface {
	endGreeting(r *wsproto.Refusal) bool
}

// refuse answers a request with an HTTP error and closes. What the client sends behind it is read
// and dropped, so that it sees the answer and not a reset. head is what came of the request. It
// reports whether to read on.
func (c *conn) refuse(r *wsproto.Refusal, head []byte) bool {
	if c.other != nil {
		if t, ok := (*c.other).(greeted); ok && t.endGreeting(r) {
			return c.life != dead
		}
	}
	c.w.stats.Refusals[r.Reason]++
	c.w.logRefusal(int(c.fd), c, r, head)
	if bytes.HasPrefix(head, []byte("HEAD ")) {
		r = r.ToHEAD()
	}
	c.own = &outbox{bytes: r.AppendResponse(nil), pongAt: -1}
	c.closeWith(ClosedRefused, 0, "")
	return c.life != dead
}
