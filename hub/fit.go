package hub

// Retained is how many bytes all rooms take: their logs, what those have dropped until sweeps are
// past it, and the frames of it that are pinned.
func (h *Hub) Retained() int64 {
	return h.backlog.all() + h.histories.all()
}

// IsShort reports whether all rooms take more than they may, and only sweeps can change that: what
// they hold was dropped already, and cursors keep it. Publishers from outside ask before each
// message; one that is told so waits until its loop's tick has ended.
func (h *Hub) IsShort() bool { return h.backlog.isShort.Load() || h.histories.isShort.Load() }

// Pinned is how many bytes of dropped frames are kept for members in the middle of them.
func (h *Hub) Pinned() int64 { return h.backlog.pinned.Load() }

// Limit is how many bytes all rooms may take at this moment: Limits.Total and Limits.History, or
// less while memory is short.
func (h *Hub) Limit() int64 { return h.backlog.limit.Load() + h.histories.limit.Load() }

// Drops is how many times a room dropped something because all together retained too much, those
// with history not included: see HistoryStats.
func (h *Hub) Drops() uint64 { return h.backlog.drops.Load() }

// Tighten lowers what all rooms together may retain to total bytes, or raises it again, to
// Limits.Total and Limits.History at most, which are lowered alike. What is beyond it is dropped at
// once. It may be called from any goroutine that is no loop's.
func (h *Hub) Tighten(total int64) {
	l := &h.limits
	total = min(total, l.Total+l.History)
	histories := int64(float64(total) * (float64(l.History) / float64(l.Total+l.History)))
	h.histories.setLimit(histories)
	h.backlog.setLimit(total - histories)
	h.fitFromOutside()
}

// fitFromOutside is fit for a goroutine that is no loop's.
func (h *Hub) fitFromOutside() {
	by := new(Fanout)
	h.fit(by)
	by.wakeOwed()
}

// SaveMemory makes rooms retain only what some member has yet to get, from their next sweep on,
// until it is called again with false. It is not the rule because each segment dropped in a sweep
// is followed by another one.
func (h *Hub) SaveMemory(isOn bool) { h.isLowMemory.Store(isOn) }

// trim drops what every member has got. All tracks drop up to the same number, as always. The
// caller holds the lock, and by is its loop's.
func (r *Room) trim(by *Fanout) {
	lowest := r.log.next
	for _, b := range r.branches {
		lowest = min(lowest, b.reported.lowest)
	}
	if r.log.history != nil {
		lowest = min(lowest, r.log.needFrom())
	}
	was := r.log.held
	for t := r.log.oldestTrack(); t != nil && t.oldest.Load().next.Load().first <= lowest; t = r.log.oldestTrack() {
		r.log.dropOldest(t)
	}
	if r.log.held == was {
		return
	}
	for _, b := range r.branches {
		oldest := b.track.oldest.Load().base
		b.ackedTo = max(b.ackedTo, oldest) // Nobody needs what is before it …
		if b.lookedTo < oldest {
			b.schedule(by, becauseSegment) // … but cursors may stand at its end.
		}
	}
	r.forget()
	r.noteMoved()
	if r.budget().spare() >= r.log.backlog-r.log.held { // What made it drop before its own limit is over.
		r.capacity.Store(r.log.backlog)
	}
}

// fit drops from the largest rooms until all together retain no more than they may.
func (h *Hub) fit(by *Fanout) {
	for _, k := range [...]*backlog{&h.backlog, &h.histories} {
		for r, ok := k.largest(); ok; r, ok = k.largest() {
			r.giveUp(by)
		}
	}
}

// giveUp drops the oldest segment, or the newest where there is no other, because all rooms
// together retain too much.
func (r *Room) giveUp(by *Fanout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.retains() { // It may have dropped all of it itself meanwhile.
		return
	}
	if t := r.log.oldestTrack(); t != nil {
		r.log.dropOldest(t)
	} else {
		r.log.retire()
	}
	r.budget().drops.Add(1)
	r.capacity.Store(min(r.log.held, r.log.backlog))
	r.noteMoved()
	for _, b := range r.branches {
		b.schedule(by, becauseSegment) // A member that stood there is overrun, and only a round finds it.
	}
}

// fitPins keeps pinned memory, which all loops share, within its limit: those of this loop that
// have been stuck for longest are given up. Where all rooms may take little, half of that is for
// those who read, but for a loop's last pin. For what remains pinned the rooms drop.
func (f *Fanout) fitPins() {
	k := &f.hub.backlog
	isOver := func() bool {
		pinned := k.pinned.Load()
		return pinned > f.hub.limits.Pinned || pinned > k.limit.Load()/2 && f.pins.all.Len() > 1
	}
	for f.pins.all.Len() > 0 && isOver() {
		p := f.pins.all.Front().Value.(*pin)
		for e := p.holders.Front(); e != nil; {
			by := e.Value.(holder)
			e = e.Next() // Before Abort, which takes the element out.
			f.stats.Unpinned++
			by.Abort()
		}
		p.drop() // Its last holder's Release has done it, unless a client kept its Rest.
	}
	f.hub.fit(f)
}
