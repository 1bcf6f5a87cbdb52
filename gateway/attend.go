package gateway

// attend counts a client that hears its room among those who are there, if the room keeps them.
func (c *conn) attend(who *Principal, room string) {
	if isKept, tells := c.w.cfg.presenceOf(room); isKept && !c.reader.IsSpeaker() {
		in := &attendee{w: c.w, token: c.token, info: infoOf(who, c.clientID(), nil), user: userOf(who), tells: tells}
		c.metered().attendee = c.w.server.presences.enter(room, in)
	}
}

// reviewPresence follows rules that have changed. Of a client that was there before nothing is told
// but who it is.
func (c *conn) reviewPresence() {
	if s := c.subscriber(); s != nil {
		s.reviewPresence()
		return
	}
	if !c.isIn("") {
		return
	}
	room := c.reader.Room().Name()
	isKept, _ := c.w.cfg.presenceOf(room)
	switch isThere := c.meter != nil && c.meter.attendee != nil; {
	case isKept && !isThere:
		c.attend(&Principal{Subject: c.subject()}, room)
	case isThere && !isKept:
		c.absent()
	}
}

func (s *subscriber) reviewPresence() {
	for _, sub := range s.subscriptions {
		isKept, _ := s.w.cfg.presenceOf(sub.Room().Name())
		switch t := s.terms[sub]; {
		case isKept && (t == nil || t.attendee == nil):
			s.enter(sub)
		case t != nil && t.attendee != nil && !isKept:
			s.absentFrom(sub)
		}
	}
}

// absent takes the client out of those who are there.
func (c *conn) absent() {
	if c.meter != nil && c.meter.attendee != nil {
		c.w.server.presences.leave(c.meter.attendee)
		c.meter.attendee = nil
	}
}

// leaveRooms ends the connection's membership in its room, or in all of them.
func (c *conn) leaveRooms() {
	c.absent()
	if s := c.subscriber(); s != nil {
		s.dropAll()
	}
	c.reader.Leave()
}

// enter counts the client among those who are in the room of a subscription, if the room keeps
// them.
func (s *subscriber) enter(sub *subscription) {
	room := sub.Room().Name()
	if isKept, tells := s.w.cfg.presenceOf(room); isKept {
		in := &attendee{w: s.w, token: s.token, info: s.infoIn(sub), user: userOf(s.principal()), tells: tells}
		s.termed(sub).attendee = s.w.server.presences.enter(room, in)
	}
}

// absentFrom takes it out of them.
func (s *subscriber) absentFrom(sub *subscription) {
	if t := s.terms[sub]; t != nil && t.attendee != nil {
		s.w.server.presences.leave(t.attendee)
		t.attendee = nil
	}
}
