package gateway

import "strings"

// Allows reports whether p may do all of want in the room. Publish and its like do not ask it: it
// is for those who let others call them.
func (s *Server) Allows(p *Principal, room string, want Permission) bool {
	return s.config().allows(p, room, want)
}

// remember keeps what an open connection's client was granted in its room. Of one that is not known
// that is what Options.Anonymous says.
func (c *conn) remember(who *Principal, room string) {
	if who.Kind == KindToken {
		m := c.metered()
		m.isKnown, m.granted = true, who.granted(room)
		c.know(who)
		c.expireWith(who)
	}
}

// review has leave to publish follow rules that have changed.
func (c *conn) review() {
	if c.life != open || c.past == listens || c.past == subscribes { // A subscriber is asked for leave each time.
		return
	}
	cfg, room := c.w.cfg, c.reader.Room().Name()
	may := cfg.anonymous.granted(room)
	if c.meter != nil && c.meter.isKnown {
		may = c.meter.granted
	}
	switch isMute := may&Publish&^cfg.denied(room) == 0; {
	case isMute:
		c.past = mute
	case c.past == mute:
		c.past = wasAccepted
	}
}

// subjectMax is how long a subject may be for its connections to be known by it: each keeps it.
const subjectMax = 255

// know remembers who the client is.
func (c *conn) know(who *Principal) {
	if who.Subject != "" && len(who.Subject) <= subjectMax {
		c.metered().subject = strings.Clone(who.Subject) // Or it would keep the whole token.
	}
}

func (c *conn) subject() string {
	if c.meter == nil {
		return ""
	}
	return c.meter.subject
}

// isSubject reports whether the connection is of this subject, if one is named.
func (c *conn) isSubject(subject string) bool { return subject == "" || c.subject() == subject }
