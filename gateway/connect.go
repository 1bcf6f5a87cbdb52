package gateway

import (
	"time"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
)

// welcomesTurn is how many rooms a turn brings a client into.
const welcomesTurn = 64

// connect lets the client in, and into the rooms that its token names. It is the first command, and
// comes once.
func (s *subscriber) connect(o *order) orderStep {
	if s.isConnected {
		return s.malformed("it connects a second time")
	}
	if s.welcome == nil {
		who, isIn, done := s.identify(o)
		if !isIn {
			return done
		}
		s.welcome = &welcome{who: who}
		s.who = who
		o = &order{Command: o.Command} // What was answered was who it is.
	}
	if done, isIn := s.joinFirst(o); !isIn {
		return done
	}
	subs := s.welcome.subs
	s.welcome, s.handshake, s.isConnected, s.due = nil, nil, true, 0
	r := &protocol.ConnectResult{
		Client: s.clientID(), Version: serverVersion, Ping: seconds(s.w.cfg.PingInterval), Pong: true, Subs: subs,
	}
	if who := s.who; who != nil {
		s.become(who)
		if who.Expires != 0 {
			r.Expires, r.Ttl = true, s.ttl(who.Expires)
		}
	}
	s.startPings()
	s.reply(o, &protocol.Reply{Connect: r})
	for _, sub := range s.subscriptions { // What they were held for is in front of what they bring now.
		sub.Ready()
	}
	return stepDone
}

// joinFirst brings the client into the rooms that its token names, each where the command says that
// it has been before. If not all are done, it returns how that ended.
func (s *subscriber) joinFirst(o *order) (done orderStep, isIn bool) {
	w := s.welcome
	if w.who == nil {
		return stepDone, true
	}
	for n := 0; w.next < len(w.who.Rooms); n++ {
		if n == welcomesTurn {
			s.standInLine()
			return stepWaits, false
		}
		room := w.who.Rooms[w.next]
		result, done, code := s.joinOne(o, room)
		switch {
		case done != stepDone:
			return done, false
		case code != 0:
			for len(s.subscriptions) > 0 {
				s.drop(s.subscriptions[0])
			}
			s.welcome = nil
			return s.fail(o, code), false
		}
		if w.subs == nil {
			w.subs = map[string]*protocol.SubscribeResult{}
		}
		w.subs[room] = result
		w.next++
		o = &order{Command: o.Command} // The answer was about this room.
	}
	return stepDone, true
}

func (s *subscriber) joinOne(o *order, room string) (result *protocol.SubscribeResult, done orderStep, code centrifuge.ErrorCode) {
	may := s.permissionsBy(0, room)
	switch {
	case !isRoomName(room):
		return nil, stepDone, centrifuge.ErrorBadRequest
	case may&Read == 0:
		return nil, stepDone, centrifuge.ErrorPermissionDenied
	}
	at := wish{isHeld: true}
	if r := o.Connect.Subs[room]; r != nil {
		at.isRecovering, at.since = r.Recover, hub.Position{Epoch: r.Epoch, Offset: r.Offset}
	}
	return s.join(o, room, permit{}, may, at)
}

// seconds is a time for clients, who count it in whole ones: never less than it is, and never none.
func seconds(d time.Duration) uint32 { return uint32(max(1, (d+time.Second-1)/time.Second)) }
