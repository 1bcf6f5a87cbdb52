package hub

// A Page is some of what a room keeps.
type Page struct {
	Position // behind the last record: the next page is since it
	Records  []Record
	Answer   Answer   // Recovered unless what was asked for is not to be had: there are no records then
	End      Position // of the last message
	HasMore  bool
}

// Read copies what the room keeps from start on, but for messages that have no offset of their own:
// at most limit records, at least one if there is any and limit allows, and of more only what is
// within so many bytes of them. The zero Start is the earliest.
func (r *Room) Read(start Start, limit int, bytes int64) Page {
	if r.log.history == nil {
		return Page{Answer: NoHistory}
	}
	if start.Since.Epoch == "" && start.Last == 0 {
		start.Earliest = true
	}
	p, c, n := r.page(&start)
	for ; n > 0 && len(p.Records) < limit; n-- {
		c.settle()
		k := c.seg.record(c.frame)
		c.advance(len(k))
		if k.mark().isAbsent {
			continue
		}
		if bytes -= int64(len(k)); bytes < 0 && len(p.Records) > 0 {
			break
		}
		kept := append(record(nil), k...).read() // Or it would keep the whole segment.
		p.Records = append(p.Records, kept)
		p.Offset = kept.Offset
	}
	p.HasMore = n > 0 && p.Offset < p.End.Offset
	return p
}

// page finds where to read, and how many messages there are.
func (r *Room) page(start *Start) (p Page, c cursor, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.log
	p.End = Position{l.history.epoch, l.history.last.offset}
	p.Position = p.End
	if r.isClosed {
		p.Answer = TooOld
		return p, c, 0
	}
	t := l.tracks[source]
	from, j := l.begin(start, t)
	p.Answer, p.Position = j.Answer, j.Position
	return p, t.at(from), j.Messages
}

// Epoch is the room's epoch, empty if it has no history.
func (r *Room) Epoch() string {
	if r.log.history == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.history.epoch
}

// HistoryStats count what all rooms with history keep, and what came of it.
type HistoryStats struct {
	Rooms       int
	Messages    uint64 // that are kept and to be had
	Bytes       int64  // of records
	Memory      int64  // of these rooms in all, as Limits.History counts it
	Limit       int64  // for that at this moment
	Drops       uint64 // times a room dropped something because all together took too much
	CatchingUp  int64  // members
	Built       uint64 // encodings of a room that came to be read late
	BuiltFrames uint64 // … and frames that were made for them
}

// Histories looks at every room.
func (h *Hub) Histories() HistoryStats {
	s := HistoryStats{
		Memory: h.histories.all(), Limit: h.histories.limit.Load(), Drops: h.histories.drops.Load(),
		CatchingUp: h.catchingUp.Load(), Built: h.built.Load(), BuiltFrames: h.builtFrames.Load(),
	}
	for r := range h.All {
		if r.log.history == nil {
			continue
		}
		s.Rooms++
		n, bytes := r.kept()
		s.Messages += n
		s.Bytes += bytes
	}
	return s
}
