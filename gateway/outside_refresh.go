package gateway

import (
	"context"

	"github.com/centrifugal/protocol"
)

// Refresh sets when what is known of a client expires, by its connection's id, in seconds of Unix time,
// in place of what its token says; zero: never. A time that is over ends the connection, as a token's
// does. A client of the Centrifuge protocol is told the new time, and has a while behind it to bring a
// token. Who comes back is known by its token again.
func (s *Server) Refresh(ctx context.Context, id string, expires int64) error {
	_, err := askConn(ctx, s, id, func(c *conn) (struct{}, error) {
		c.expireAnew(expires)
		return struct{}{}, nil
	})
	return err
}

// RefreshSubject is Refresh for the connections of one subject, and returns how many there were.
func (s *Server) RefreshSubject(ctx context.Context, subject string, expires int64) (n int, err error) {
	is := func(c *conn) bool { return subject != "" && c.isIn("") && c.isSubject(subject) }
	return s.endAll(ctx, is, func(c *conn) { c.expireAnew(expires) })
}

// expiresMax is the latest time that is reckoned with, in seconds of Unix time: some 35 million years.
const expiresMax = 1 << 50

func (c *conn) expireAnew(expires int64) {
	expires = min(expires, expiresMax)
	who := &Principal{Expires: expires}
	isOver := expires != 0 && 1000*expires <= c.w.cfg.wallClock()
	s := c.subscriber()
	switch {
	case isOver:
		c.expire()
	case s == nil:
		if m := c.meter; m != nil {
			m.expires, m.expiresAt = 0, 0
		}
		c.expireWith(who)
		c.setTimer()
	default:
		s.expireBehind(who)
		if !s.isConnected { // Its token has yet to be judged.
			return
		}
		r := &protocol.Refresh{}
		if expires != 0 {
			r.Expires, r.Ttl = true, s.ttl(expires)
		}
		s.push(&protocol.Reply{Push: &protocol.Push{Refresh: r}})
	}
}
