package hub

// check holds the hub to its bounds.
func (m *model) check() {
	pins := map[*pin]bool{}
	for _, l := range m.all {
		l.look()
		if l.rest.pin != nil {
			pins[l.rest.pin] = true
		}
	}
	for _, p := range m.pipes {
		if p.rest.pin != nil {
			pins[p.rest.pin] = true
		}
	}
	var pinned int64
	for p := range pins {
		pinned += footprint(len(p.frame))
	}
	if pinned != m.hub.Pinned() || pinned > m.limits.Pinned {
		m.t.Fatalf("%d bytes are pinned, %d by the hub's count, the limit is %d", pinned, m.hub.Pinned(), m.limits.Pinned)
	}
	var sum Stats
	for _, f := range m.fans {
		sum.Add(&f.stats)
	}
	missed := sum.Skipped
	isExact := sum.Unpinned == 0 // A member that is given up as soon as it was overrun has not told the model.
	for _, l := range m.all {
		isExact = isExact && !l.mayJump
	}
	if missed < m.missed || isExact && missed != m.missed {
		m.t.Fatalf("%d messages were skipped, %d by the hub's count", m.missed, missed)
	}
	m.checkAccounts(sum.Account)
	m.checkBranches()
	m.checkPipes()
	m.checkLines()
	var memory, dropped int64
	for _, s := range m.rooms {
		if all, of := m.checkMemory(s.room); s.room.log.history == nil {
			memory, dropped = memory+all, dropped+of
		}
	}
	mustBeShort, mayBeShort := m.checkKept()
	total := m.hub.Retained() - m.hub.histories.all()
	if total != memory+m.hub.Pinned() {
		m.t.Fatalf("rooms take %d bytes and pins %d, %d by the hub's count", memory, m.hub.Pinned(), total)
	}
	// Each loop may keep one pinned frame, however little there is.
	if retained := total - dropped; retained > max(m.total, m.hub.Pinned()) {
		m.t.Fatalf("rooms retain %d bytes, the limit is %d", retained, m.total)
	}
	mustBeShort = mustBeShort || dropped > 0 && total > m.total
	mayBeShort = mayBeShort || dropped > 0
	if mustBeShort && !m.hub.IsShort() || m.hub.IsShort() && !mayBeShort {
		m.t.Fatalf("rooms take %d bytes, of which %d were dropped, the limit is %d, and publishers wait: %v", total, dropped, m.total, m.hub.IsShort())
	}
}

// checkAccounts holds what each room, gone or not, and all loops together have counted to what came
// and to what is still due: nothing is lost, and nothing counts twice.
func (m *model) checkAccounts(sum Account) {
	sum.Owed += m.hub.OwedOutside()
	var rooms Account
	for _, s := range m.ever {
		a, due := s.room.Account(), uint64(0)
		for _, l := range m.all {
			if l.story != s {
				continue
			}
			if l.IsIn() && !l.isSpeaker {
				due += uint64(len(s.frames)) + 1 - l.cursor.seq()
			}
			if l.rest.pin != nil {
				due++
			}
		}
		for _, p := range m.pipes {
			if p.rest.pin != nil && p.rest.pin.room == s.room {
				due++
			}
		}
		if a.Owed != s.owed || a.Delivered != s.got || a.Due() != due {
			m.t.Fatalf("%d messages are owed, %d came and %d are due; by the room's count %+v, due %d", s.owed, s.got, due, a, a.Due())
		}
		rooms.add(&a)
	}
	if rooms != sum {
		m.t.Fatalf("all rooms count %+v, all loops %+v", rooms, sum)
	}
}

// checkMemory counts what the room takes, and what is reachable from its cursors.
func (m *model) checkMemory(r *Room) (memory, dropped int64) {
	var held, reachable int64
	for i := range r.log.tracks {
		t := r.log.tracks[i]
		if t == nil || !t.isOpen() {
			continue
		}
		held += t.held()
		bytes := memoryOf(t)
		if bytes > t.memory {
			m.t.Fatalf("a track counts %d bytes of memory and takes %d", t.memory, bytes)
		}
		memory, dropped, reachable = memory+t.memory, dropped+t.dropped, reachable+bytes
		for _, l := range m.all {
			if l.IsIn() && l.branch.track == t && !l.cursor.isOverrun() && l.cursor.seg.base < t.first.base {
				m.t.Fatal("a cursor stands before what is counted")
			}
		}
	}
	if held != r.log.held {
		m.t.Fatalf("the room counts %d bytes of frames and holds %d", r.log.held, held)
	}
	// The backlog, what sweeps may be behind, the segments that a loop need not have answered for,
	// both tails and spares; and where frames end.
	if bound := 3*m.limits.Backlog/2 + m.limits.Window + int64(6*int(numTracks)*r.log.largest) + m.keptBound(r); reachable > bound {
		m.t.Fatalf("%d bytes are reachable, more than %d", reachable, bound)
	}
	return memory, dropped
}
