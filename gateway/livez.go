package gateway

import "sluice/wsproto"

// livezPath says whether this process answers: 200 while it does. Whether it should get traffic is
// another question. It is answered here on the loop, whatever Options.Pages are, because a health
// check must not wait for what strangers can use up: goroutines of net/http, places among those that
// are lent. It is answered under any host name: whoever asks whether a server lives may call it
// anything, and the answer tells nothing.
const livezPath = "/livez"

const (
	livezAllow   = "Allow: GET, HEAD, OPTIONS\r\n"
	livezOK      = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n" + livezPrivate
	livezOptions = "HTTP/1.1 204 No Content\r\n" + livezAllow + livezPrivate
	livezPrivate = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
	livezBody    = "ok\n"
)

var (
	refusedLivezMethod = &wsproto.Refusal{
		Status: 405, Reason: wsproto.ReasonMethod, Text: "Only GET, HEAD and OPTIONS are answered here.", Header: livezAllow,
	}
	refusedLivezBody = explain(wsproto.ReasonBody, "This request has no body.")
)

// answerLivez answers a request for livezPath whose head has been parsed, and reports whether to
// read on. Of requests that came together each has a turn of its own.
func (c *conn) answerLivez(head, behind []byte) bool {
	r := &c.w.request
	answer, rest := livezOK, ""
	switch string(r.Method) {
	case "GET":
		rest = livezBody
	case "HEAD":
	case "OPTIONS":
		answer = livezOptions
	default:
		answer = ""
	}
	switch body, refusal := r.BodyLength(); {
	case refusal != nil:
		return c.refuse(refusal, head)
	case answer == "":
		return c.refuse(refusedLivezMethod, head)
	case body > 0:
		return c.refuse(refusedLivezBody, head)
	}
	isLast := !r.KeepsAlive()
	h := append(c.w.header[:0], answer...)
	if isLast {
		h = append(h, "Connection: close\r\n"...)
	}
	h = append(h, "\r\n"...)
	c.w.header = append(h, rest...)
	c.send(c.w.header)
	switch {
	case c.life == dead:
		return false
	case isLast || c.own != nil: // A client that does not take so little is not waited for.
		c.closeWith(ClosedAnswered, 0, "")
		return c.life != dead
	}
	c.keepAlive()
	return len(behind) == 0 || c.readLater(behind)
}

// keepAlive waits for another request on a connection that has had an answer.
func (c *conn) keepAlive() {
	c.past = wasAnswered
	c.w.loop.SetTimer(c.token, idleTimeout)
}
