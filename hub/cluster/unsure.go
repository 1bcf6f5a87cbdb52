package cluster

import "time"

// retry carries on with packs whose attempt failed: those of which nobody knows are looked for
// first, at the ends of their rooms, because what is stored need not be sent.
func (n *Node) retry(now time.Duration) {
	if len(n.troubled) == 0 {
		return
	}
	var unsure []*line
	all := n.troubled
	n.troubled = nil // What is sent again may be in trouble again at once.
	for _, l := range all {
		k := l.inFlight
		switch {
		case !l.isTroubled:
			continue
		case k.isUnsure && now-k.unsureAt >= giveUpTime:
			n.giveUp(l, k)
			continue
		case now < k.retryAt || !n.isTrusted:
		case !k.isUnsure:
			l.isTroubled = false
			n.send(l, k)
			continue
		case len(unsure) < LastMax:
			unsure = append(unsure, l)
		}
		n.troubled = append(n.troubled, l)
	}
	if len(unsure) > 0 && !n.isLooking {
		n.isLooking = true
		n.start(n.lookFor(unsure))
	}
}

// hurry ends the pauses of packs whose attempts failed: whatever that was for is over.
func (n *Node) hurry() {
	for _, l := range n.troubled {
		if l.isTroubled {
			l.inFlight.retryAt, l.inFlight.pause = 0, 0
		}
	}
}

// giveUp sends a pack no more of which nobody knows whether it is stored.
func (n *Node) giveUp(l *line, k *pack) {
	n.counters.givenUp.Add(uint64(k.messages))
	n.warn("given up", "messages that were not acknowledged are sent no more, and may have come or not", "room", l.room, "messages", k.messages)
	n.finish(l, k, 0, ErrUnknown)
}

// lookFor asks for the last messages of rooms whose packs in flight may have been stored.
func (n *Node) lookFor(lines []*line) task {
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.room
	}
	doubts := n.doubts
	return func(q *requests) func() {
		last, _, err := q.last(names, 0)
		return func() {
			n.isLooking = false
			if doubts == n.doubts { // Otherwise it may be of a stream that was.
				n.found(lines, last, err)
			}
		}
	}
}

func (n *Node) found(lines []*line, last []Stored, err error) {
	byRoom := make(map[string]*Stored, len(last))
	for i := range last {
		byRoom[last[i].Room] = &last[i]
	}
	for _, l := range lines {
		if !l.isTroubled { // It was given up.
			continue
		}
		k := l.inFlight
		s := byRoom[l.room]
		switch {
		case err != nil:
			k.retryAt = n.now() + pauseMax
		case s != nil && s.ID == k.id:
			n.see(s.Seq, k.id)
			n.expect(l.room, s.Seq)
			n.finish(l, k, s.Seq, nil)
		case k.epoch != n.epoch: // Some may have got it from a stream that is gone, with what it knew of ids.
			n.giveUp(l, k)
		case n.now()-k.unsureAt < giveUpTime && n.isTrusted:
			l.isTroubled = false
			n.counters.repeated.Add(1)
			n.send(l, k)
		}
	}
	n.sendReady()
	n.releaseHeld()
}
