package hub

import (
	"math"
	"time"
)

// How a bundle's turn goes: the first readers of its ring offer what they may have of the delivery,
// whole frames, each its share of what is left of the turn's bytes; the kernel takes some; and those
// that have more go to the ring's end. A reader that had more than its share, because a frame is
// larger, is in debt and passed over until its shares have paid that, or nobody else has anything. A
// delivery of one reader alone is handed as it lies in the log, of several it is copied.

// push puts r at the ring's end.
func (k *Bundle) push(r *Reader) {
	r.isWaiting, r.next = true, nil
	if k.back == nil {
		k.front = r
	} else {
		k.back.next = r
	}
	k.back = r
	k.waiting++
}

// pop takes the first reader out of the ring.
func (k *Bundle) pop() *Reader {
	r := k.front
	k.replace(r, nil)
	return r
}

// replace puts another in r's place in the ring, or nobody.
func (k *Bundle) replace(r, by *Reader) {
	at, before, no := &k.front, (*Reader)(nil), int32(0)
	for *at != r {
		before, no = *at, no+1
		at = &before.next
	}
	next := r.next
	r.isWaiting, r.next, r.offer = false, nil, 0
	if by != nil {
		by.isWaiting, by.next = true, next
		*at = by
	} else {
		by = before
		*at = next
		k.waiting--
		if no < k.parts {
			k.parts--
		}
	}
	if next == nil {
		k.back = by
	}
}

// toFront puts r first.
func (k *Bundle) toFront(r *Reader) {
	if k.front == r {
		return
	}
	if r.isWaiting {
		k.replace(r, nil)
	} else if r.m.state == writable {
		r.m.handed = waits
	}
	r.isWaiting, r.next = true, k.front
	if k.front = r; k.back == nil {
		k.back = r
	}
	k.waiting++
}

// serve gives the bundle a turn; one for the sake of those with little to get is of one delivery.
func (k *Bundle) serve(isForLittle bool, now time.Duration) {
	switch {
	case !k.isIn() || k.trunk.handed != 0: // Its answer goes on with it.
	case k.trunk.IsBlocked():
		k.endTurn(now)
	default:
		k.isForLittle = isForLittle
		k.goOn(k.trunk.branch.room.hub.limits.Turn, now)
		k.isForLittle = false
	}
}

// goOn is Member.goOn for the trunk: its client's own bytes if it is at a frame boundary, then those
// of its readers, until all of them have what they are to get, the budget is spent or the kernel
// refuses.
func (k *Bundle) goOn(budget int, now time.Duration) {
	f := k.fan()
	f.serving = k
	k.handOn(budget, now)
	f.serving = nil
}

func (k *Bundle) handOn(budget int, now time.Duration) {
	m := k.trunk
	if m.hasOwn && k.inFrame == nil {
		sent, isAll := k.client.SendOwn(budget)
		if !k.isIn() {
			return
		}
		budget -= sent
		k.fan().ownSent += sent
		if m.hasOwn = !isAll; m.hasOwn {
			if budget <= 0 {
				k.again()
			}
			k.endTurn(now)
			return
		}
	}
	for budget > 0 && (k.front != nil || k.inFrame != nil) {
		total := k.gather(budget)
		switch {
		case !k.isIn():
			return
		case total > 0:
			k.hand(total, budget)
			return
		case m.hasOwn && k.inFrame == nil: // What its client has to say of a reader that has rejoined goes first.
			k.again()
			k.endTurn(now)
			return
		}
		if k.land(0, Taken, now); !k.isIn() {
			return
		}
	}
	if k.front != nil {
		k.again()
	} else if m.IsBlocked() {
		k.visitOverrun() // Those that are held.
		m.unblock()
	}
	if k.isIn() {
		k.endTurn(now)
	}
	if k.isIn() {
		k.checkFinished()
	}
}

// again gives the bundle another turn.
func (k *Bundle) again() {
	k.trunk.Ready()   // If it is blocked.
	k.schedule(false) // If it is not.
}

// gather decides who has how much of a delivery of at most so many bytes, and returns of how many it
// is. Those that have a part in it, of no byte perhaps, are the first in the ring.
func (k *Bundle) gather(budget int) (total int) {
	if k.inFrame != nil {
		k.toFront(k.inFrame)
	}
	total, inDebt := k.share(budget)
	if total == 0 && inDebt {
		k.forgive()
		total, _ = k.share(budget)
	}
	return total
}

// forgive lets the reader go on that is least in debt, and the others be in debt to it.
func (k *Bundle) forgive() {
	least := int32(math.MaxInt32)
	for r := k.front; r != nil; r = r.next {
		least = min(least, r.debt)
	}
	for r := k.front; r != nil; r = r.next {
		r.debt -= least
	}
}

func (k *Bundle) share(budget int) (total int, inDebt bool) {
	k.parts = 0
	for r := k.front; r != nil; {
		k.at = r
		if r.m.cursor.isOverrun() {
			if k.parts > 0 { // It rejoins when it is the first.
				break
			}
			if r.m.rejoin(); !k.isIn() || k.trunk.hasOwn {
				return 0, false
			}
			r = k.front // It may have left.
			continue
		}
		left := budget
		if k.parts > 0 {
			left = min(budget, batchBytes) - total
		}
		share := max(1, (budget-total)/int(k.waiting-k.parts))
		if k.isForLittle {
			share = min(share, littleBytes)
		}
		n, isPassed, isLast := r.ask(share, left, total == 0)
		inDebt = inDebt || isPassed
		if n == 0 && isLast {
			break
		}
		r.offer = int32(n)
		total += n
		k.parts++
		if isLast || total >= budget {
			break
		}
		r = r.next
	}
	k.at = nil
	return total, inDebt
}

// ask returns how many bytes r has of a delivery in which its share is so many, and so many are left.
// It has none if it isPassed over, being in debt. isLast says that nobody has a part behind it.
func (r *Reader) ask(share, left int, isFirst bool) (n int, isPassed, isLast bool) {
	c, m := &r.m.cursor, &r.m
	pending := len(c.settle())
	rest := c.restOfFrame()
	switch at := c.position(); {
	case at >= m.owedTo:
		pending = rest
	case at+int64(pending) > m.owedTo:
		pending = int(m.owedTo - at)
	}
	if rest > 0 && r.bundle.trunk.hasOwn {
		pending, isLast = rest, true // Its client's own bytes wait for this frame's end.
	}
	if pending == 0 {
		return 0, false, isLast
	}
	allowance := share - int(r.debt)
	if allowance <= 0 && rest == 0 {
		return 0, true, false
	}
	if n = pending; n > allowance {
		n = min(pending, c.covering(max(1, allowance)))
	}
	if n > left {
		isLast = true
		if n = min(pending, c.whole(left)); n == 0 && isFirst {
			n = min(pending, left)
		}
	}
	return n, false, isLast
}

// hand hands the transport what was gathered.
func (k *Bundle) hand(total, budget int) {
	f := k.fan()
	b := f.batchFor(total)
	var bytes []byte
	from, r := len(b.copies), k.front
	for range k.parts {
		if n := int(r.offer); n > 0 {
			c := &r.m.cursor
			if bytes = c.seg.data[c.off : c.off+uint32(n)]; n < total {
				b.copy(bytes)
			}
		}
		r.m.handed = waits
		r = r.next
	}
	if len(b.copies) > from {
		bytes = b.copies[from:len(b.copies):len(b.copies)]
	}
	if k.isForLittle {
		budget = 0
	}
	d := f.hand(k.trunk, bytes, 0, budget)
	d.Client = k.client
}

// answer is Fanout.answer for the trunk.
func (k *Bundle) answer(d *Delivery, n int, outcome Outcome, now time.Duration) {
	f := k.fan()
	f.serving = k
	k.take(d, n, outcome, now)
	f.serving = nil
}

func (k *Bundle) take(d *Delivery, n int, outcome Outcome, now time.Duration) {
	f, m := k.fan(), k.trunk
	switch outcome {
	case Failed:
		if k.client.Failed(); !k.isIn() {
			return
		}
		n = 0
	case Deferred:
		n = 0
	default:
		f.stats.Bytes += uint64(n)
		k.took(n, now)
	}
	if k.land(n, outcome, now); !k.isIn() {
		return
	}
	switch {
	case k.isCut:
		k.cut(Rest{})
		return
	case outcome == Taken && n == len(d.Bytes):
		budget := d.budget - n
		if f.batches.len() > 0 || budget < littleBytes {
			budget = 0 // As for every member; and what is left of a turn is not worth a write.
		}
		k.handOn(budget, now)
		return
	case outcome == Deferred:
		k.again()
	case outcome != Failed:
		f.stats.Refused++
		m.Block(now)
		if k.client.Refused(); !k.isIn() {
			return
		}
		if m.isCalled { // As for every member.
			m.Ready()
		}
	}
	k.endTurn(now)
}

// took notes that the kernel has taken n bytes of the rooms'.
func (k *Bundle) took(n int, now time.Duration) {
	switch m := k.trunk; {
	case n == 0:
	case m.IsBlocked():
		m.wrote(n, now)
		k.visitOverrun()
	default:
		m.took = now
	}
}

// land moves the readers that had a part in a delivery on by the n bytes that the kernel took of it.
// The one at whose bytes it stopped stays in front.
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

// settle goes on with r, which the ring has passed.
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
		}
		m.endTurn(now)
	default:
		k.push(r)
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

// endShares takes the writable readers out of the ring that have had their share and have more to
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
