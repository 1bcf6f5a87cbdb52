package gateway

import (
	"time"

	"github.com/centrifugal/protocol"
)

// connect lets the client in. It is the first command, and comes once.
func (s *subscriber) connect(o *order) orderStep {
	if s.isConnected {
		return s.malformed("it connects a second time")
	}
	who, done := s.identify(o)
	if done != stepDone {
		return done
	}
	s.who, s.handshake, s.isConnected, s.due = who, nil, true, 0
	s.startPings()
	return s.reply(o, &protocol.Reply{Connect: &protocol.ConnectResult{
		Client: s.clientID(), Version: "Sluice", Ping: seconds(s.w.cfg.PingInterval), Pong: true,
	}})
}

// seconds is a time for clients, who count it in whole ones: never less than it is, and never none.
func seconds(d time.Duration) uint32 { return uint32(max(1, (d+time.Second-1)/time.Second)) }
