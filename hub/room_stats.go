package hub

// RoomStats describe a room at one moment.
type RoomStats struct {
	Members    int
	Blocked    int                 // of them, those that were refused and have not caught up
	CatchingUp int                 // of them, those that began behind the end and have not come there
	Speakers   int                 // who only publish, and are no members
	IsFull     bool                // publishers wait
	Held       int64               // bytes of frames the log retains, all tracks together
	Memory     int64               // … of memory it takes, with what it dropped and cursors may still keep
	Next       uint64              // number of the next message
	End        [EncodingsMax]int64 // bytes ever published, by encoding

	Position  Position // of the last message; without an epoch the room has no history
	Kept      uint64   // messages that it keeps and are to be had
	KeptBytes int64    // … bytes of records retained
}

// Stats returns the room's figures.
func (r *Room) Stats() RoomStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := RoomStats{
		Members: int(r.members), Blocked: int(r.members), Speakers: len(r.speakers.all()), IsFull: r.stops(),
		Held: r.log.held, Next: r.log.next,
	}
	for _, b := range r.branches {
		s.Blocked -= int(b.writable.Load())
	}
	if h := r.log.history; h != nil {
		s.Position = Position{h.epoch, h.last.offset}
		s.CatchingUp = int(h.catchingUp.Load())
		s.Kept, s.KeptBytes = r.log.kept()
	}
	s.Memory, _ = r.log.memory()
	for i, t := range r.log.tracks[:EncodingsMax] {
		if t != nil {
			s.End[i] = t.end.Load()
		}
	}
	return s
}

// Account returns what became of the room's messages since it was made.
func (r *Room) Account() Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.account
	for _, b := range r.branches {
		a.Delivered += b.delivered.Load()
	}
	return a
}

// OwedOutside is what is owed of messages that were published outside of all loops: no loop's Stats
// have it.
func (h *Hub) OwedOutside() uint64 { return h.owedOutside.Load() }
