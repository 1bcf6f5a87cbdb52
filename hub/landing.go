package hub

import "time"

// land moves the readers that had a part in a delivery on by the n bytes that the kernel took of
// it. The one at whose bytes it stopped stays in front.
func (k *Bundle) land(n int, outcome Outcome, now time.Duration) {
	wasAsked := outcome == Taken || outcome == Refused
	share := n / max(1, int(k.waiting))
	for k.parts > 0 {
		r := k.front
		k.at = r
		taken := min(n, int(r.offer))
		n -= taken
		isStopped := taken < int(r.offer)
		r.debt = int32(max(0, int(r.debt)+taken-share))
		k.move(r, taken)
		r.hasShare = r.hasShare || wasAsked
		switch {
		case r.m.branch == nil: // It has left.
			c := r.m.cursor
			if k.pop(); c.restOfFrame() > 0 {
				k.keep(k.restFor(&c))
				k.fan().fitPins()
			}
		case !isStopped:
			k.pop()
			k.settle(r, now)
		}
		if isStopped && k.isIn() {
			k.recall(share)
		}
	}
	k.at = nil
}

// move moves r on by what was taken of its part.
func (k *Bundle) move(r *Reader, taken int) {
	r.offer = 0
	frames := r.m.cursor.advance(taken)
	switch {
	case r.m.branch == nil: // Its account has ended.
		return
	case r.m.cursor.restOfFrame() > 0:
		k.inFrame = r
	case k.inFrame == r:
		k.inFrame = nil
	}
	r.m.branch.countDelivered(frames)
}

// settle goes on with r, which the rota has passed.
func (k *Bundle) settle(r *Reader, now time.Duration) {
	m := &r.m
	switch {
	case r.isDone():
		m.handed = 0
		r.Leave()
	case len(m.cursor.settle()) == 0:
		m.handed, r.debt = 0, 0
		if m.IsBlocked() {
			m.unblock()
			r.forgetVote()
		}
		m.endTurn(now)
	default:
		k.push(r)
	}
}

// forgetVote lets go of what was for catching up: it is the trunk that votes.
func (r *Reader) forgetVote() {
	if v := r.m.vote; v != nil && v.said == [2]int64{} {
		r.m.vote = nil
	}
}

// recall takes back what was offered and not looked at.
func (k *Bundle) recall(share int) {
	r := k.front
	for i := range k.parts {
		next := r.next
		if r.offer = 0; i > 0 {
			r.debt = int32(max(0, int(r.debt)-share))
		}
		if r.m.branch == nil {
			k.replace(r, nil)
		}
		r = next
	}
	k.parts = 0
}

// endTurn ends the trunk's turn, and in it that of each reader that has had its share; if the
// connection is blocked, of all that wait.
func (k *Bundle) endTurn(now time.Duration) {
	isBlocked := k.trunk.IsBlocked()
	if !isBlocked {
		k.endShares(now)
	}
	for r := k.front; r != nil; {
		next := r.next
		if r.m.handed != 0 && (isBlocked || r.m.IsBlocked()) {
			r.block(now)
			if r.m.endTurn(now); !k.isIn() {
				return
			}
			if next != nil && !next.isWaiting { // It has left.
				next = k.front
			}
		}
		r = next
	}
	k.trunk.endTurn(now)
}

// endShares takes the writable readers out of the rota that have had their share and have more to
// get: their branches' next rounds come to them.
func (k *Bundle) endShares(now time.Duration) {
	r := k.front
	k.front, k.back, k.waiting = nil, nil, 0
	for r != nil {
		next, m := r.next, &r.m
		if m.state != writable || !r.hasShare {
			k.push(r)
		} else {
			r.isWaiting, r.next, m.handed = false, nil, 0
			m.endTurn(now)
		}
		r = next
	}
}

// block makes r blocked, with its bundle.
func (r *Reader) block(now time.Duration) {
	m := &r.m
	m.handed = 0
	if m.state != writable {
		return
	}
	m.took = now
	m.setState(blocked)
	m.branch.writable.Add(-1)
	m.branch.enterLog(m)
}
