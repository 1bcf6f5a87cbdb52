package gateway

import (
	"context"

	"github.com/centrifugal/protocol"
)

// Refresh sets when what is known of a client expires, by its connection's id, if it is of this
// subject or none is named, in seconds of Unix time, in place of what its token says; zero: never.
// A time that is over ends the connection, as a token's does. A client of the Centrifuge protocol
// is told the new time, and has a while behind it to bring a token. A client that comes back is
// known by its token again. In a cluster it is found as by Disconnect.
func (s *Server) Refresh(ctx context.Context, id, subject string, expires int64) (Reach, error) {
	return s.refreshAll(ctx, &ending{Client: id, Subject: subject}, expires)
}

// RefreshSubject is Refresh for the connections of one subject, on all nodes, and returns how many
// there were.
func (s *Server) RefreshSubject(ctx context.Context, subject string, expires int64) (Reach, error) {
	if subject == "" { // A client that is not known is nobody's.
		return Reach{Nodes: 1, Answered: 1}, nil
	}
	return s.refreshAll(ctx, &ending{Subject: subject}, expires)
}

func (s *Server) refreshAll(ctx context.Context, whom *ending, expires int64) (Reach, error) {
	q := &nodeQuestion{Do: askRefresh, ending: *whom, Expires: expires}
	return s.everywhere(ctx, q, func() (int, error) { return s.refreshHere(ctx, whom, expires) })
}

// refreshHere does it to those of this gateway.
func (s *Server) refreshHere(ctx context.Context, whom *ending, expires int64) (int, error) {
	if whom.Client != "" {
		return askConn(ctx, s, whom.Client, func(c *conn) (int, error) {
			if !c.isSubject(whom.Subject) {
				return 0, ErrNoConnection
			}
			c.expireAnew(expires)
			return 1, nil
		})
	}
	is := func(c *conn) bool { return whom.Subject != "" && c.isIn("") && c.isSubject(whom.Subject) }
	return s.endAll(ctx, is, func(c *conn) { c.expireAnew(expires) })
}

// expiresMax is the latest time that is reckoned with, in seconds of Unix time: some 35 million
// years.
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
