//go:build linux

package gateway

import (
	"time"

	"sluice/gateway/internal/simclient"
)

// A simSocket is one connection of a subscriber, and what the gateway made of it.
type simSocket struct {
	*simclient.Socket
	since   time.Duration // when it dialled
	reason  CloseReason   // why the gateway ended it …
	isKnown bool          // … if that is known
	isVague bool          // … but for that it may be that of another one which ended in the same tick
}

// socketOf is the connection of that number, if it is some subscriber's.
func (w *world) socketOf(link int) *simSocket {
	for _, s := range w.World.Subscribers {
		if one := s.Judge.(*simSubscriber).sockets[link]; one != nil {
			return one
		}
	}
	return nil
}

// judgeSocket says whether the gateway had the reason that it gives for the end of a subscriber's
// connection.
func (w *world) judgeSocket(l *simLoop, v *connView, reason CloseReason) {
	v.isKnown = true
	s := v.socket
	s.reason, s.isKnown = reason, true
	w.Kernel.Note("connection %d is ended: %v", v.link, reason)
	if s.Peer.IsDoomed() || w.isJustToSubscriber(l, v, reason) {
		return
	}
	read, wrote := s.Peer.Activity()
	s.Fail("the gateway ends it as %v, without reason; now %v, last read from %v, last written to %v", reason, w.Kernel.Now(), read, wrote)
}

func (w *world) isJustToSubscriber(l *simLoop, v *connView, reason CloseReason) bool {
	s, p, now := v.socket, &w.Plan, w.Kernel.Now()
	since := func(t time.Duration) time.Duration {
		passed := now - t + w.longest
		if t < l.pausedAt {
			passed -= l.pausedFor
		}
		return passed
	}
	read, _ := s.Peer.Activity()
	switch reason {
	case ClosedGone:
		return s.IsCut || s.Subscriber.IsClosed || s.Subscriber.Socket != s.Socket
	case ClosedByPeer:
		return s.Bye != 0
	case ClosedSlow:
		return !p.IsLossy()
	case ClosedGap:
		return p.IsLossy() && p.History.Rooms > 0
	case ClosedStalled, ClosedDoesNotRead:
		return since(v.took) >= p.Stall
	case ClosedNoPong:
		return s.IsCut || since(v.pinged) >= p.Pong && (w.answersAt == 0 || v.pinged <= w.answersAt)
	case ClosedBadCommand:
		return s.IsBad
	case ClosedExpired:
		return s.mayExpire(now + w.longest)
	case ClosedBadToken:
		return s.bringsAnothers()
	case ClosedStale:
		return since(s.since) >= p.Handshake
	case ClosedPinned, ClosedAssembly:
		l.blamed = append(l.blamed, v)
		return true
	case ClosedAssemblyTimeout:
		return now+w.longest >= configOf(p).AssemblyTimeout
	case ClosedFrameRate:
		return p.Limits.Rates[simclient.Frames] > 0
	case ClosedPingRate:
		return p.Limits.Rates[simclient.Pings] > 0
	case ClosedMessageRate:
		return p.Limits.Rates[simclient.Messages] > 0
	case ClosedByteRate:
		return p.Limits.Rates[simclient.Bytes] > 0
	case ClosedDrain, ClosedCut:
		return w.IsDraining
	case ClosedRefused:
		return true // Its status is judged.
	case ClosedSilent:
		return read == 0 && now >= p.Handshake
	case ClosedCloseTimeout:
		return s.IsCut
	}
	return false
}
