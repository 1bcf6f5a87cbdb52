package hub

// leave ends m's membership, the track with its last reader, the branch with its last member, and
// the room with its last branch.
func (r *Room) leave(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := m.branch
	if b.isSpeaker {
		r.leaveAsSpeaker(m)
		return
	}
	r.settle(m)
	m.endCatchUp()
	b.remove(m)
	r.members--
	r.log.exit(b.track)
	r.quit(m)
	if b.len() > 0 {
		return
	}
	for i := range r.branches {
		if r.branches[i] == b {
			r.branches = append(r.branches[:i], r.branches[i+1:]...)
			break
		}
	}
	r.account.Delivered += b.delivered.Load()
	delete(b.fan.tellings, b)
	if !b.track.isOpen() {
		r.noteTracks()
	}
	r.forget()
	r.noteMoved() // Its track may have been closed.
	if r.closeIfEmpty() {
		return
	}
	r.release(b.fan)
	if len(r.branches) > 0 && !r.isIdling && r.log.history == nil && r.retains() {
		// Its next round sees to the memory: b's never ended.
		r.branches[0].schedule(b.fan, becauseToReclaim)
	}
}

// settle takes a leaving member out of the account: what it has yet to get it will not. The frame
// that it is in the middle of has ended early; overrun, it leaves that one to its Rest. The caller
// holds the lock.
func (r *Room) settle(m *Member) {
	n := r.log.next - m.cursor.seq()
	r.account.Ended += n
	m.branch.fan.stats.Ended += n
}

func (m *Member) leave() {
	b := m.branch
	if b.room.isSpoiled.Load() {
		m.forsake()
		return
	}
	wasBlocked, wasMet := m.IsBlocked(), m.isMet
	b.room.leave(m)
	m.setState(outside)
	*m = Member{took: m.took, client: m.client} // Its client may have to Abort yet.
	if wasMet {
		b.closeTurn()
	}
	if wasBlocked && b.len() > 0 && b.room.IsFull() {
		b.schedule(b.fan, becauseLeft) // It may be the one the brake waited for.
	}
}

// forsake makes m leave a spoiled room.
func (m *Member) forsake() {
	m.branch.room.lose(m)
	m.endCatchUp()
	m.setState(outside)
	*m = Member{took: m.took, client: m.client}
}

// lose takes m, whose room is spoiled, out of the account.
func (r *Room) lose(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next, seq := r.next.Load(), m.cursor.seq(); next > seq && !m.branch.isSpeaker {
		r.account.Ended += next - seq
		m.branch.fan.stats.Ended += next - seq
	}
}
