package gateway

import (
	"strconv"
	"time"

	"sluice/wsproto"
)

// Two paths are for health checks. They are answered here on the loop, whatever Options.Pages are,
// because a health check must not wait for what strangers can use up: goroutines of net/http,
// places among those that are lent. They are answered under any host name: whoever asks whether a
// server lives may call it anything, and the answer tells nothing.
const (
	livezPath  = "/livez"  // whether this process answers: 200 while it does
	readyzPath = "/readyz" // whether new clients should be sent here: 200, or 503 and why not
)

const (
	healthAllow   = "Allow: GET, HEAD, OPTIONS\r\n"
	healthPrivate = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
)

// A health is the answer to a health check. Its head lacks the empty line.
type health struct{ head, body string }

func newHealth(status, text string) health {
	return health{
		head: "HTTP/1.1 " + status + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
			strconv.Itoa(len(text)+1) + "\r\n" + healthPrivate,
		body: text + "\n",
	}
}

var (
	isAlive       = newHealth("200 OK", "ok")
	healthOptions = health{head: "HTTP/1.1 204 No Content\r\n" + healthAllow + healthPrivate}
)

var (
	refusedHealthMethod = &wsproto.Refusal{
		Status: 405, Reason: wsproto.ReasonMethod, Text: "Only GET, HEAD and OPTIONS are answered here.", Header: healthAllow,
	}
	refusedHealthBody = explain(wsproto.ReasonBody, "This request has no body.")
)

// answerHealth answers a health check whose head has been parsed, and reports whether to read on.
// Of requests that came together each has a turn of its own.
func (c *conn) answerHealth(answer health, head, behind []byte) bool {
	r := &c.w.request
	switch string(r.Method) {
	case "GET":
	case "HEAD":
		answer.body = ""
	case "OPTIONS":
		answer = healthOptions
	default:
		answer = health{}
	}
	switch body, refusal := r.BodyLength(); {
	case refusal != nil:
		return c.refuse(refusal, head)
	case answer.head == "":
		return c.refuse(refusedHealthMethod, head)
	case body > 0:
		return c.refuse(refusedHealthBody, head)
	}
	return c.answerInPlace(answer.head, answer.body, !r.KeepsAlive(), behind)
}

// answerInPlace answers a request here, on the loop, with a head that lacks the empty line, and
// reports whether to read on.
func (c *conn) answerInPlace(head, body string, isLast bool, behind []byte) bool {
	h := append(c.w.header[:0], head...)
	if isLast {
		h = append(h, "Connection: close\r\n"...)
	}
	h = append(h, "\r\n"...)
	c.w.header = append(h, body...)
	c.send(c.w.header)
	switch {
	case c.life == dead:
		return false
	case isLast || c.own != nil: // A client that does not take so little is not waited for.
		c.closeWith(ClosedAnswered, 0, "")
		return c.life != dead
	}
	c.keepAlive()
	return len(behind) == 0 || c.readLater(behind, nil)
}

// idleTimeout is how long it may take until the next request.
const idleTimeout = 60 * time.Second

// keepAlive waits for another request on a connection that has had an answer.
func (c *conn) keepAlive() {
	c.past = wasAnswered
	c.w.loop.SetTimer(c.token, idleTimeout)
}
