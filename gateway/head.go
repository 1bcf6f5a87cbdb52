package gateway

import (
	"fmt"
	"strings"

	"sluice/hub"
	"sluice/wsproto"
)

// readHead collects the request head, and acts on it when it is whole. Bytes behind it are the
// first frames.
func (c *conn) readHead(p []byte) bool {
	from := 0
	if c.in != nil {
		from = c.in.scanned
		c.in.head = append(c.in.head, p...)
		p = c.in.head
	}
	n := wsproto.HeadEnd(p, from)
	switch {
	case n > wsproto.MaxHeadBytes || n == 0 && len(p) >= wsproto.MaxHeadBytes:
		return c.refuse(wsproto.RefuseHead(p), p)
	case n > 0:
		c.dropInput()
		return c.route(p, n)
	}
	if c.in == nil {
		c.in = &inbound{head: append([]byte(nil), p...), decoder: c.w.newDecoder()}
	}
	c.in.scanned = len(p)
	return true
}

// route decides by the path alone, not by a header, who answers: /ws and /ws/{room} stay on the
// reactor, every other path is lent to net/http with all the bytes read so far.
func (c *conn) route(p []byte, n int) bool {
	head, behind := p[:n], p[n:]
	r := &c.w.request
	if refusal := r.ParseLine(head); refusal != nil {
		return c.refuse(refusal, head)
	}
	room, isSocket := roomOf(string(r.Path))
	if !isSocket {
		if c.wasLent {
			return c.refuse(wsproto.Refuse(wsproto.ReasonNotFound), head) // Or it would go back and forth.
		}
		c.lend(p)
		return false
	}
	if refusal := c.upgrade(head, room); refusal != nil {
		return c.refuse(refusal, head)
	}
	if c.life == open && len(behind) > 0 {
		c.w.stats.EarlyBytes++
		return c.consume(behind)
	}
	return c.life == open
}

// upgrade checks the request, joins the room and answers 101. The answer is written or put in the
// outbox before anything of the room can be: rooms are swept at the end of the tick, and the outbox
// goes first.
func (c *conn) upgrade(head []byte, room string) *wsproto.Refusal {
	r := &c.w.request
	if refusal := r.Parse(head); refusal != nil {
		return refusal
	}
	if refusal := r.CheckUpgrade(); refusal != nil {
		return refusal
	}
	deflate, refusal := r.CheckDeflate()
	if refusal != nil {
		return refusal
	}
	if !isRoomName(room) {
		return refusedRoomName
	}
	if refusal := c.w.server.judgePage(r.Header("Origin"), r.Host); refusal != nil {
		return refusal
	}
	deflate = deflate && c.w.cfg.deflates(room)
	encoding := encodingPlain
	if deflate {
		encoding = encodingDeflated
	}
	switch err := c.w.fan.Join(room, encoding, &c.reader, c); err {
	case nil:
	case hub.ErrNoNewRooms:
		return wsproto.Refuse(wsproto.ReasonRoomMemory)
	default:
		return wsproto.Refuse(wsproto.ReasonRooms)
	}
	c.setLife(open)
	c.w.stats.Upgrades++
	c.w.header = wsproto.AppendSwitchingProtocols(c.w.header[:0], r.Key, c.w.cfg.subprotocol(r), deflate)
	c.send(c.w.header)
	if c.life == open {
		c.heard = c.w.loop.Now() - c.w.jitter() // The first pings of clients that came together go out apart.
		c.setTimer()
	}
	return nil
}

// refuse answers a request with an HTTP error and closes. What the client sends behind it is read
// and dropped, so that it sees the answer and not a reset. head is what came of the request. It
// reports whether to read on.
func (c *conn) refuse(r *wsproto.Refusal, head []byte) bool {
	c.w.stats.Refusals[r.Reason]++
	c.w.logRefusal(int(c.fd), r, head)
	c.own = &outbox{bytes: r.AppendResponse(nil), pongAt: -1}
	c.closeWith(ClosedRefused, 0, "")
	return c.life != dead
}

const lobby = "lobby"

// roomOf tells which room a decoded path names, and whether it names one at all: /ws is the lobby.
func roomOf(path string) (room string, isSocket bool) {
	if path == "/ws" {
		return lobby, true
	}
	return strings.CutPrefix(path, "/ws/")
}

const roomNameMax = 128

var refusedRoomName = explain(wsproto.ReasonRoomName, fmt.Sprintf(
	"This is not a room name: a room is /ws/ and 1 to %d of A-Z a-z 0-9 _ . : ~ - and not . or .. alone.", roomNameMax))

// isRoomName holds a name to [A-Za-z0-9_.:~-]{1,128}, neither . nor .. : it stands in paths, logs
// and subjects of a broker without being escaped.
func isRoomName(s string) bool {
	if s == "" || len(s) > roomNameMax || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if !isRoomByte(s[i]) {
			return false
		}
	}
	return true
}

func isRoomByte(b byte) bool {
	isWord := 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
	return isWord || strings.IndexByte("_.:~-", b) >= 0
}
