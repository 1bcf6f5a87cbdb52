//go:build linux

package gateway

import (
	"time"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A simStream is one connection of a reader, and what the gateway made of it.
type simStream struct {
	*simclient.Stream
	asked   hub.Position // where its room stood when it asked …
	joined  hub.Position // … and when its loop had let it in; without an epoch it is not known
	removed uint64       // what had been removed of the history when it asked
	reason  CloseReason  // why the gateway ended it …
	isTold  bool         // … if that is known
}

// streamOf is the connection of that number, if it is some reader's.
func (w *world) streamOf(link int) *simStream {
	for _, r := range w.readers {
		if s := r.streams[link]; s != nil {
			return s
		}
	}
	return nil
}

// noteJoined notes where the room stands into which the connection has just come.
func (v *connView) noteJoined() {
	at := v.c.reader.Room().Stats().Position
	if v.client != nil {
		v.client.joined = at
	}
	if v.stream != nil {
		v.stream.joined = at
	}
}

// least is where the room stood at least when it joined, in an epoch.
func (one *simStream) least(epoch string) uint64 {
	if one.asked.Epoch == epoch {
		return one.asked.Offset
	}
	return 0
}

// judgeStream says whether the gateway had the reason that it gives for the end of a reader's
// connection.
func (w *world) judgeStream(l *simLoop, v *connView, reason CloseReason) {
	v.isKnown = true
	s := v.stream
	s.reason, s.isTold = reason, true
	w.Kernel.Note("connection %d is ended: %v", v.link, reason)
	if s.Peer.IsDoomed() {
		return
	}
	now := w.Kernel.Now()
	read, wrote := s.Peer.Activity()
	since := func(t time.Duration) time.Duration { return now - t + w.longest }
	isJust := false
	switch reason {
	case ClosedGone:
		isJust = s.IsCut || s.Reader.IsClosed || s.Reader.Stream != s.Stream
	case ClosedSlow:
		isJust = !w.Plan.IsLossy()
	case ClosedStalled:
		isJust = since(v.took) >= w.Plan.Stall
	case ClosedPinned:
		isJust = true
		l.blamed = append(l.blamed, v)
	case ClosedDrain, ClosedCut:
		isJust = w.IsDraining
	case ClosedRefused:
		isJust = true // Its status is judged.
	case ClosedSilent:
		isJust = read == 0 && now >= w.Plan.Handshake
	case ClosedCloseTimeout:
		isJust = s.IsCut
	}
	if !isJust {
		s.Fail("the gateway ends it as %v, without reason; now %v, last read from %v, last written to %v", reason, now, read, wrote)
	}
}
