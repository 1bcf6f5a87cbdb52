package hub

import "time"

// Flush sweeps the marked rooms: each member that is not blocked gets what it has not been sent, in
// turns of rooms, for at most a slice of time. It returns how long the loop may sleep: zero with
// sweeps unfinished, negative without bound. It is called at the end of every tick.
func (f *Fanout) Flush(clock func() time.Duration) time.Duration {
	f.takeMarks()
	f.resumeLeased()
	f.wakeOwed() // Of those that have just got leases, too: a loop that is marked nobody else wakes.
	if !f.hasQueued() && f.bundles.len() == 0 && len(f.watched) == 0 && len(f.idle) == 0 && len(f.lines) == 0 && !f.hasUnsent() {
		return -1
	}
	now := clock()
	// The clock falls back behind these when a pause of the whole process ended within a Flush.
	f.counted, f.reclaimedAt = min(f.counted, now), min(f.reclaimedAt, now)
	f.countWatched(now)
	f.watchLines(now)
	deadline := now + slice
	f.ends = deadline
	p := pace{clock: clock, now: now, deadline: deadline}
	f.sendAll(&p) // Of turns that went on when the transport answered late, or for which there was no time.
	half := p.now + (deadline-p.now)/2
	for isServed := false; f.hasQueued() && p.now < deadline; {
		if p.now >= half && !isServed { // Sweeps keep bundles waiting for half of the time at most.
			isServed = true
			f.serveBundles(&p)
			continue
		}
		b, isForLittle := f.next(p.now < half)
		p.deadline = deadline
		if f.hasQueued() || f.bundles.len() > 0 {
			p.deadline = min(deadline, p.now+turn)
		}
		f.swept = b
		switch {
		case b.room.isSpoiled.Load():
			if len(b.members) > 0 {
				b.schedule(f, becauseUnfinished) // Before it, or a panic would leave the others in.
				b.disband(&p)
			}
		case b.len() > 0 && b.mustTell():
			b.tellReset(&p)
			b.schedule(f, becauseUnfinished)
		case b.len() > 0 && !b.sweep(&p, isForLittle):
			b.schedule(f, becauseUnfinished)
		}
		p.deadline = deadline
		f.sendAll(&p) // In the time of whom it is for.
		f.swept = nil
		p.visit()
	}
	p.deadline = deadline
	f.serveBundles(&p)
	f.wakeOwed() // A sweep that lifts the brake marks publishers on other loops.
	f.reclaim(p.now)
	f.takeMarks() // Publishers that were let go on meanwhile need not wait for the next Flush.
	f.resumeLeased()
	return f.sleep(p.now)
}

// next takes the branch whose turn it is. In one half of the time those that have little to send
// come first, in the other those that have much: a quiet room's message waits for no flooded room,
// however many there are, and neither sort keeps the other from going on. A branch whose ready
// members have much waits among the latter for their sake, and may come among the former meanwhile.
func (f *Fanout) next(isQuietFirst bool) (b *branch, isForLittle bool) {
	for isQuietFirst && f.queue.len() > 0 {
		b = f.queue.pop()
		b.isQueued = false
		if !b.mayTakeLong() {
			return b, true
		}
		f.putOff(b)
	}
	if f.busy.len() > 0 {
		b = f.busy.pop()
		b.isBusy = false
		return b, false
	}
	b = f.queue.pop()
	b.isQueued = false
	return b, false
}

func (f *Fanout) sleep(now time.Duration) time.Duration {
	switch {
	case f.hasQueued() || f.bundles.len() > 0 || f.hasUnsent() || f.reclaiming > 0 || len(f.leased) > 0 || f.marks.Load() != nil:
		return 0
	case len(f.watched) > 0 && len(f.lines) > 0:
		return max(0, min(f.counted, f.linesAt)+watchEvery-now)
	case len(f.watched) > 0:
		return max(0, f.counted+watchEvery-now)
	case len(f.lines) > 0:
		return max(0, f.linesAt+watchEvery-now)
	case len(f.idle) > 0:
		return max(0, f.reclaimedAt+reclaimEvery-now)
	}
	return -1
}

// takeMarks moves the marked branches to the queue. A mark is cleared before its branch's log is
// read, so that a frame published in between marks it again.
func (f *Fanout) takeMarks() {
	for b := f.marks.Swap(nil); b != nil; {
		next := b.nextMarked
		b.nextMarked = nil
		b.take(reasons(b.marks.Swap(0)))
		b = next
	}
}

func (f *Fanout) countWatched(now time.Duration) {
	if len(f.watched) == 0 || now-f.counted < watchEvery {
		return
	}
	f.counted = now
	for _, b := range f.watched {
		b.watched = false
		b.schedule(f, becauseRecount) // Its sweep watches it again while the room is still full.
	}
	f.watched = f.watched[:0]
}

// serveBundles gives bundles their turns, until none waits or the time is over. As with branches,
// in one half of it those go first that have little to send, in the other those with much.
func (f *Fanout) serveBundles(p *pace) {
	half := p.now + (p.deadline-p.now)/2
	for f.bundles.len() > 0 && p.now < p.deadline {
		k, isForLittle := f.bundles.pop(p.now < half)
		k.serve(isForLittle, p.now)
		f.afterVisit(p)
	}
	f.sendAll(p)
}

// mayTakeLong reports whether branches with little to send go before it.
func (b *branch) mayTakeLong() bool { return b.hasMuch() || b.mustTell() || b.room.isSpoiled.Load() }
