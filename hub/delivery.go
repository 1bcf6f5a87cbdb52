package hub

import "time"

// Answer says what became of delivery i: n of its bytes were taken. now is the loop's clock. An
// answer for a member that has left since is dropped.
func (k *Batch) Answer(i, n int, outcome Outcome, now time.Duration) {
	d, f := &k.Deliveries[i], k.fan
	f.stats.Writes++
	if m := d.member; m.handed == d.handed {
		m.handed = 0
		f.answer(m, d, n, outcome, now)
	}
	if k.unanswered--; k.unanswered == 0 {
		clear(k.Deliveries) // Or they would keep segments and clients alive.
		k.Deliveries, k.bytes, k.copies = k.Deliveries[:0], 0, k.copies[:0]
		f.spareBatches = append(f.spareBatches, k)
	}
}

// answer moves m on by what the kernel took, and goes on with its turn or ends it.
func (f *Fanout) answer(m *Member, d *Delivery, n int, outcome Outcome, now time.Duration) {
	if m.branch.isTrunks {
		bundleOf(m).answer(d, n, outcome, now)
		return
	}
	if outcome == Failed {
		m.client.Failed()
		m.endTurn(now)
		return
	}
	m.branch.countDelivered(m.cursor.advance(n))
	f.stats.Bytes += uint64(n)
	switch {
	case n == 0:
	case m.IsBlocked():
		m.wrote(n, now)
	default:
		m.took = now
	}
	if outcome == Deferred {
		m.Ready() // A member that is not blocked is its branch's next round's.
		m.endTurn(now)
		return
	}
	if n == len(d.Bytes) && outcome == Taken {
		if m.state == writable && !m.hasOwn && m.cursor.position() == d.upto && d.upto < m.owedTo {
			m.endTurn(now) // What goOn would find, as for nearly every delivery.
			return
		}
		budget := d.budget - n
		if f.batches.len() > 0 {
			budget = 0 // Or all that met a segment's end in one batch would go on beyond the slice.
		}
		m.goOn(d.upto, budget, now)
		return
	}
	// A short write is a refusal: asking a second time would say so.
	f.stats.Refused++
	m.Block(now)
	m.client.Refused()
	if m.isCalled { // The socket has taken bytes since, and there may be no other edge.
		m.Ready()
	}
	m.endTurn(now)
}

// goOn hands m's next bytes to the transport, or ends its turn, in which it may write up to the
// position upto and budget bytes more: its client's own bytes first if it is at a frame boundary,
// then the log's, until it has all, its budget is spent or the kernel refuses.
func (m *Member) goOn(upto int64, budget int, now time.Duration) {
	b := m.branch
	if b.isTrunks {
		bundleOf(m).goOn(budget, now)
		return
	}
	if m.hasOwn && m.cursor.restOfFrame() == 0 {
		sent, isAll := m.client.SendOwn(budget)
		if m.branch != b { // It left.
			return
		}
		budget -= sent
		b.fan.ownSent += sent
		if !isAll {
			if budget <= 0 {
				m.Ready() // It is blocked: only a frame's rest is more than a budget.
			}
			m.endTurn(now)
			return
		}
		m.hasOwn = false
	}
	if m.cursor.isOverrun() {
		if m.rejoin(); m.branch != b { // It left.
			return
		}
		if m.hasOwn {
			m.Ready() // What its client has to say of that goes first: in its next turn.
			m.endTurn(now)
			return
		}
	}
	m.goOnWith(m.cursor.settle(), upto, budget, now)
}

// goOnWith is goOn for a member that is in the log, has nothing of its own that could go first, and
// has pending before it.
func (m *Member) goOnWith(pending []byte, upto int64, budget int, now time.Duration) {
	at, end := m.cursor.position(), min(upto, m.owedTo)
	if at >= m.owedTo {
		if end = at + int64(m.cursor.restOfFrame()); end == at {
			m.client.Finished()
			m.endTurn(now)
			return
		}
	}
	switch {
	case at >= end || len(pending) == 0:
		if !m.IsBlocked() {
			break
		}
		if len(pending) == 0 {
			m.unblock()
		} else {
			// Another loop has published since the turn began. No round hands a blocked member
			// anything, and no edge comes for a socket that refused nothing.
			m.Ready()
		}
	case budget <= 0:
		m.Ready() // A member that is not blocked is its branch's next round's.
	default:
		if m.hasOwn {
			pending = pending[:m.cursor.restOfFrame()] // Its client's own bytes wait for this frame's end.
		}
		pending = pending[:min(len(pending), int(end-at))]
		if len(pending) > budget {
			long := min(m.cursor.covering(budget), m.branch.fan.longTurn(), len(pending))
			pending = pending[:max(budget, long)]
		}
		m.branch.fan.hand(m, pending, upto, budget)
		return
	}
	m.endTurn(now)
}
