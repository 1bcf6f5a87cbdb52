package cluster

import (
	"errors"
	"maps"
	"slices"
	"time"

	"sluice/hub"
)

const (
	// giveUpTime is when a pack of which nobody knows whether it is stored is sent no more: well
	// before the stream has forgotten its id, and would store it twice.
	giveUpTime = 90 * time.Second

	pauseMin = 100 * time.Millisecond // before a pack is sent again, doubled each time
	pauseMax = 2 * time.Second

	walkMax = 1000 // lines that are looked at before publishers get the lock again
)

// lookAtPublisher carries on with what publishers have handed over and the broker has answered. It
// is called by the node's goroutine, as all in this file and in unsure.go.
func (n *Node) lookAtPublisher() {
	p := &n.publisher
	p.mu.Lock()
	acks, full := p.acks, p.full
	p.acks, p.full = nil, nil
	for _, l := range full {
		l.isFull = false
		l.isHeld = true
		p.held[l] = struct{}{}
		n.moved = append(n.moved, l) // Perhaps it has room again.
	}
	p.mu.Unlock()
	for _, l := range full {
		n.rooms.Hold(l.room, true)
	}
	for i := range acks {
		n.answered(&acks[i])
	}
	n.sendReady()
	n.releaseHeld()
}

// sendReady sends the packs of rooms that have none in flight. While the stream is in doubt they
// wait.
func (n *Node) sendReady() {
	if !n.isTrusted {
		return
	}
	p := &n.publisher
	p.mu.Lock()
	ready := p.ready
	p.ready = nil
	launched := make([]*pack, len(ready))
	for i, l := range ready {
		launched[i] = l.launch(n.boot, &n.number)
		p.waiting--
		p.inFlight++
		if l.isHeld {
			n.moved = append(n.moved, l)
		}
	}
	p.mu.Unlock()
	for i, l := range ready {
		launched[i].firstAt = n.now()
		n.send(l, launched[i])
	}
}

// send makes one attempt. Only one is ever on its way.
func (n *Node) send(l *line, k *pack) {
	k.sentAt, k.doubts = n.now(), n.doubts
	if !k.isUnsure {
		k.epoch = n.epoch
		if !k.isAlone { // A key's message may be stored already.
			k.floor = n.reached
		}
	}
	n.counters.attempts.Add(1)
	p := &n.publisher
	n.broker.Publish(l.room, k.id, k.body, func(seq uint64, err error) {
		p.mu.Lock()
		p.acks = append(p.acks, ack{l, k, seq, err})
		p.mu.Unlock()
		n.wakeUp()
	})
}

// answered takes the broker's answer to an attempt.
func (n *Node) answered(a *ack) {
	l, k := a.line, a.pack
	isSame := k.doubts == n.doubts // Otherwise it may be of a stream that was.
	switch {
	case a.err == nil && isSame && a.seq > k.floor:
		n.see(a.seq, k.id)
		n.expect(l.room, a.seq)
		n.finish(l, k, a.seq, nil)
	case errors.Is(a.err, ErrRefused):
		n.counters.refused.Add(uint64(k.messages))
		n.warn("refused", "the NATS servers refuse messages", "room", l.room, "messages", k.messages, "error", a.err)
		n.finish(l, k, 0, ErrRefused)
	default:
		if a.err == nil && isSame { // It is stored, at a place that has no name before the next epoch.
			n.contradict()
		}
		if !errors.Is(a.err, ErrNotStored) {
			k.becomeUnsure()
		}
		k.pause = min(max(2*k.pause, pauseMin), pauseMax)
		k.retryAt = n.now() + k.pause
		l.isTroubled = true
		n.troubled = append(n.troubled, l)
	}
}

// finish tells a pack's publishers what became of it, and makes room for the next.
func (n *Node) finish(l *line, k *pack, seq uint64, err error) {
	p := &n.publisher
	l.isTroubled = false
	p.mu.Lock()
	l.inFlight = nil
	p.cost -= k.cost()
	switch {
	case len(l.waiting) > 0:
		p.ready = append(p.ready, l)
	case !l.isHeld && !l.isFull:
		p.close(l)
	}
	p.mu.Unlock()
	if err == nil {
		n.counters.ofPack(k, n.now())
	}
	for i := k.told; i < len(k.waiters); i++ {
		w := &k.waiters[i]
		if err != nil {
			w.done(hub.Position{}, err)
		} else {
			w.done(hub.Position{Epoch: n.epoch, Offset: offsetOf(seq, w.index)}, nil)
		}
	}
	p.mu.Lock()
	p.inFlight-- // Not before: Drain waits for it.
	p.mu.Unlock()
	k.release()
}

// releaseHeld lets publishers go on in rooms that have taken enough away of what waited: of those
// in which something was, or of all when there was no place for any room, and now is.
func (n *Node) releaseHeld() {
	p := &n.publisher
	p.mu.Lock()
	lines := n.moved
	if p.isShort && p.cost <= n.o.PublishBytesMax/4*3 {
		p.isShort = false
		lines = slices.Collect(maps.Keys(p.held))
	}
	var free []string
	for _, l := range lines {
		if !p.isShort && l.isHeld && p.release(l) {
			free = append(free, l.room)
		}
	}
	p.mu.Unlock()
	n.moved = n.moved[:0]
	for _, room := range free {
		n.rooms.Hold(room, false)
	}
}

// tellLate tells publishers that have waited long enough. One whose line takes another's place
// meanwhile is told the next time.
func (n *Node) tellLate(now time.Duration) {
	p := &n.publisher
	var late []waiter
	for from, isAll := 0, false; !isAll; from += walkMax {
		p.mu.Lock()
		for _, l := range p.all[min(from, len(p.all)):min(from+walkMax, len(p.all))] {
			late = l.takeLate(late, now-n.o.PublishTimeout)
		}
		isAll = from+walkMax >= len(p.all)
		p.mu.Unlock()
	}
	n.counters.late.Add(uint64(len(late)))
	for _, w := range late {
		w.done(hub.Position{}, ErrTimeout)
	}
}

// closePublisher ends it: whoever waits is told.
func (n *Node) closePublisher() {
	p := &n.publisher
	var waiting, inFlight []waiter
	p.mu.Lock()
	p.isClosed = true
	for _, l := range p.lines {
		for _, k := range l.waiting {
			waiting = append(waiting, k.waiters[k.told:]...)
		}
		if k := l.inFlight; k != nil {
			inFlight = append(inFlight, k.waiters[k.told:]...)
		}
	}
	clear(p.lines)
	p.all, p.waiting, p.inFlight = nil, 0, 0
	p.mu.Unlock()
	for _, w := range waiting {
		w.done(hub.Position{}, ErrClosed)
	}
	for _, w := range inFlight { // It may be stored.
		w.done(hub.Position{}, ErrUnknown)
	}
}
