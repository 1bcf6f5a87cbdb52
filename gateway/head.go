package gateway

import "sluice/wsproto"

// readHead collects the request head, and acts on it when it is whole. Bytes behind it are the
// first frames, a body, or the next request. Every head on a listener of ours is judged here, first
// or later on its connection, as the bytes came: nobody else's parser says where one ends.
func (c *conn) readHead(p []byte) bool {
	from := 0
	if c.in != nil {
		from = c.in.scanned
		c.in.head = append(c.in.head, p...)
		p = c.in.head
	}
	n, limit := wsproto.HeadEnd(p, from), int(c.w.cfg.MaxHead)
	switch {
	case n > limit || n == 0 && len(p) >= limit:
		return c.refuse(wsproto.RefuseHead(p), p)
	case n > 0:
		answer := c.takeAnswer()
		c.dropInput()
		return c.route(p, n, answer)
	}
	return c.awaitHead(p)
}

// awaitHead keeps a head that is not whole, unless its beginning shows already that it is none.
func (c *conn) awaitHead(p []byte) bool {
	if c.in == nil {
		c.in = &inbound{head: append([]byte(nil), p...)}
	}
	in := c.in
	if in.scanned == 0 && c.past == wasAnswered {
		c.w.loop.SetTimer(c.token, c.w.cfg.HandshakeTimeout) // The silence before it had a time of its own.
	}
	if !in.isLine {
		var refusal *wsproto.Refusal
		if in.isLine, refusal = c.w.request.CheckStart(p, in.scanned); refusal != nil {
			return c.refuse(refusal, p)
		}
	}
	in.scanned = len(p)
	c.w.headBudget.hold(c)
	return c.life != dead
}

// route decides by the path alone, not by a header, who answers: rooms' paths stay on the reactor,
// /livez and /readyz too, and every other path is lent to net/http. answer is nil, or who it is
// that asks for a room.
func (c *conn) route(p []byte, n int, answer *verdict) bool {
	head, behind := p[:n], p[n:]
	r := &c.w.request
	if refusal := r.Parse(head); refusal != nil {
		return c.refuse(refusal, head)
	}
	path, isOurs := string(r.Path), true
	if c.past != wasHanded {
		path, isOurs = c.w.cfg.withoutPrefix(path)
	}
	room, hears := roomOf(path)
	switch {
	case c.w.isBrief && answer == nil && c.w.cfg.Auth != nil && hears != notAtAll:
		return c.readLater(p, nil) // A signature takes long.
	case path == livezPath && c.past != wasHanded: // With a prefix and without: who asks does not come the way that clients come.
		return c.answerHealth(isAlive, head, behind)
	case path == readyzPath && c.past != wasHanded:
		return c.answerHealth(readinesses[c.w.server.readiness()].answer, head, behind)
	case hears != notAtAll && isOurs && c.w.server.isCutOff.Load():
		return c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), head)
	case hears == byEvents && isOurs:
		return c.answerEvents(room, p, n, answer)
	case hears == byProtocol && isOurs:
		if refusal := c.answerSubscriber(); refusal != nil {
			return c.refuse(refusal, head)
		}
		return c.goOnBehind(behind)
	case hears == bySocket && isOurs:
	case !isOurs, c.past == wasHanded: // The latter would go back and forth.
		return c.refuse(wsproto.Refuse(wsproto.ReasonNotFound), head)
	default:
		return c.lend(p, n)
	}
	q, refusal := c.upgrade(room, answer)
	switch {
	case refusal != nil:
		return c.refuse(refusal, head)
	case q != nil:
		return c.park(q, p)
	}
	return c.goOnBehind(behind)
}

// goOnBehind goes on with what came behind the head of an upgrade, and reports whether to read on.
func (c *conn) goOnBehind(behind []byte) bool {
	if c.life == open && len(behind) > 0 {
		c.w.stats.EarlyBytes++
		return c.consume(behind)
	}
	return c.life == open
}

// upgrade checks the parsed request, joins the room and answers 101. The answer is written or put
// in the outbox before anything of the room can be: rooms are swept at the end of the tick, and the
// outbox goes first. Where somebody has to be asked who the client is, it returns the question.
func (c *conn) upgrade(room string, answer *verdict) (*question, *wsproto.Refusal) {
	r := &c.w.request
	if refusal := r.CheckUpgrade(); refusal != nil {
		return c.foretell(room, answer, refusal)
	}
	extensions, refusal := r.CheckDeflate()
	if refusal != nil {
		return nil, refusal
	}
	if !isRoomName(room) {
		return nil, refusedRoomName
	}
	if refusal := c.heedForwarded(r); refusal != nil {
		return nil, refusal
	}
	if refusal := c.w.server.judgePage(r.Header("Origin"), r.Host); refusal != nil {
		return nil, refusal
	}
	encoding := encodingDeflated
	if extensions == "" || !c.w.cfg.deflates(room) {
		extensions, encoding = "", encodingPlain
	}
	hears, refusal := hearsRoom(r.Query)
	if refusal != nil {
		return nil, refusal
	}
	start, want, refusal := startOf(r.Query, hears)
	if refusal != nil {
		return nil, refusal
	}
	who, q, refusal := c.authenticate(room, answer)
	if q != nil || refusal != nil {
		return q, refusal
	}
	may := c.w.cfg.permissions(who, room)
	if may&want != want {
		return nil, c.w.cfg.refuseRoom(who)
	}
	if hears {
		_, q, refusal = c.joinAt(room, encoding, start, who, answer)
	} else {
		q, refusal = c.joinToSpeak(room, encoding, who, answer)
	}
	if q != nil || refusal != nil {
		return q, refusal
	}
	c.setLife(open)
	if may&Publish == 0 {
		c.past = mute
	}
	c.remember(who, room)
	c.attend(who, room)
	c.w.stats.Upgrades++
	c.logJoined(room, encoding)
	c.w.header = wsproto.AppendSwitchingProtocols(c.w.header[:0], r.Key, c.w.cfg.subprotocol(r), extensions)
	c.send(c.w.header)
	c.startClocks()
	return nil, nil
}
