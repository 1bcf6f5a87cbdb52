package hub

import "time"

// How a bundle's turn goes: the first readers of its rota offer what they may have of the delivery,
// whole frames, each its share of what is left of the turn's bytes; the kernel takes some; and
// those that have more go to the rota's end. A reader that had more than its share, because a frame
// is larger, is in debt and passed over until its shares have paid that, or nobody else has
// anything. A delivery of one reader alone is handed as it lies in the log, of several it is
// copied.

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

// goOn is Member.goOn for the trunk: its client's own bytes if it is at a frame boundary, then
// those of its readers, until all of them have what they are to get, the budget is spent or the
// kernel refuses.
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
		f.fitPins()
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
