package hub

import "math"

// gather decides who has how much of a delivery of at most budget bytes, and returns of how many
// it is. Those that have a part in it, of no byte perhaps, are the first in the rota.
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

// share makes the first readers of the rota offer what they may have, and reports whether one was
// passed over because it is in debt.
func (k *Bundle) share(budget int) (total int, inDebt bool) {
	k.parts = 0
	for r := k.front; r != nil; {
		k.at = r
		if r.m.cursor.isOverrun() {
			if k.parts > 0 { // It rejoins when it is the first.
				break
			}
			if r.m.rejoin(); !k.isIn() || k.trunk.hasOwn {
				break
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
		if r.m.isUntold() { // Asked behind a look at what there is of it.
			if k.parts > 0 { // Likewise, or it might leave with a part in this.
				break
			}
			if r.m.tellReset(); !k.isIn() || k.trunk.hasOwn {
				break
			}
			r = k.front
			continue
		}
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

// ask returns how many bytes r has of a delivery in which its share is so many, and so many are
// left. It has none if it isPassed over, being in debt. isLast says that nobody has a part behind
// it.
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
	b := f.batch
	if b == nil || !b.hasRoom(total) {
		b = f.nextBatch()
	}
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
	isCopy := len(b.copies) > from
	if isCopy {
		bytes = b.copies[from:len(b.copies):len(b.copies)]
	}
	if k.isForLittle {
		budget = 0
	}
	d := f.hand(k.trunk, bytes, 0, budget)
	d.Client, d.IsCopy = k.client, isCopy
}
