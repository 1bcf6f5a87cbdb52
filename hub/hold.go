package hub

// Hold makes the room's publishers wait, as for the brake, until it is called again with false. It
// may be called from any goroutine.
func (r *Room) Hold(isOn bool) { r.hold(heldByHold, isOn) }

// hold is Hold for a reason.
func (r *Room) hold(why uint32, isOn bool) {
	by := new(Fanout)
	defer by.wakeOwed()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isSpoiled.Load():
	case isOn:
		r.holds.Or(why)
		r.mustAsk.Store(true)
	default:
		if r.holds.And(^why) == why {
			r.letGo(by)
		}
	}
}

// letGo makes the loops go on with the line of a room that is held no more: its leases are theirs
// to give. The caller holds the lock.
func (r *Room) letGo(by *Fanout) {
	l := r.line
	r.mustAsk.Store(r.isFull.Load() || !l.isEmpty())
	r.scheduleDue(by)
	if l != nil && len(l.waiting) > 0 {
		l.waiting[0].branch.schedule(by, becauseLeased)
	}
}
