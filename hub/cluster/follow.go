package cluster

import "sluice/hub"

const (
	heldMax  = 1024 // messages of a room that wait for a repair
	heldCost = 256  // what each takes beside its pack
)

// reopen has a room filled anew. If it was open, it goes on where it is: whoever is in it may be
// there still.
func (n *Node) reopen(r *room) {
	if r.isPlaced && r.state == live && !n.keeps(r.name) {
		n.rooms.Fill(r.name, n.epoch, r.end(), nil)
		n.doors.open(r.name)
		return
	}
	r.version++
	r.mustCheck = true
	r.state = opening
	r.tries, r.mustAsk, r.target = 0, false, 0
	r.filling = filling{}
	n.enqueue(r)
}

func (n *Node) keeps(name string) bool { return n.o.HistoryOf(name) != hub.History{} }

// take is a message that was republished.
func (n *Node) take(m *Live) {
	r := n.byName[m.Room]
	switch {
	case r == nil:
		n.counters.stray.Add(1)
	case r.state != live:
		n.hold(r, m)
	default:
		n.follow(r, m)
	}
}

// hold keeps a message until what was published before it is there. What there is no place for is
// fetched later.
func (n *Node) hold(r *room, m *Live) {
	cost := int64(heldCost + len(m.Pack))
	if len(r.held) >= heldMax || n.heldBytes+cost > n.o.HeldBytesMax {
		r.mustCheck = true
		n.counters.heldDropped.Add(1)
		return
	}
	r.held = append(r.held, *m)
	r.heldBytes += cost
	n.heldBytes += cost
}

// dropHeld lets go of all that a room holds, and returns it.
func (n *Node) dropHeld(r *room) []Live {
	held := r.held
	n.heldBytes -= r.heldBytes
	r.held, r.heldBytes = nil, 0
	return held
}

// follow appends a message if its predecessor was appended last, and otherwise sees to what is
// missing.
func (n *Node) follow(r *room, m *Live) {
	switch {
	case m.Seq == r.last && m.ID != r.lastID:
		n.lost(r, "its last message is another one in the stream")
		n.contradict()
	case m.Seq <= r.last:
		n.counters.doubled.Add(1)
	case m.Seq <= r.provenTo, m.Prev < r.last && m.Prev > 0: // The stream went back, or somebody else speaks in its place.
		n.counters.impossible.Add(1)
		n.lost(r, "a message cannot be where it says to be in the stream")
		n.contradict()
	case m.Prev == r.last && r.last > 0, m.Prev == 0 && n.isFresh(r, m.Seq):
		n.append(r, &m.Stored)
	case m.Prev == 0: // What was before it has expired: nothing is missing if that is all that has.
		n.repair(r, m.Seq)
	default:
		n.hold(r, m)
		n.repair(r, m.Prev)
	}
}

// isFresh reports whether nothing of the room can have been stored up to a sequence and dropped
// unseen since it was proved that nothing was missing: by its age it is still there, and by size
// the stream has dropped nothing.
func (n *Node) isFresh(r *room, upTo uint64) bool {
	return n.now()-r.provenAt < n.o.Age/4 && upTo <= n.recent.fitsTo
}

// repair fetches what a room lacks up to a sequence.
func (n *Node) repair(r *room, target uint64) {
	n.counters.repairs.Add(1)
	r.state = repairing
	r.version++
	r.target, r.tries, r.mustAsk = target, 0, false
	n.enqueue(r)
}

// append publishes a message of the stream in its room.
func (n *Node) append(r *room, s *Stored) {
	list, err := decode(n.decoded[:0], s.Seq, s.Pack)
	r.last, r.lastID = s.Seq, s.ID
	r.appendedAt = n.now()
	r.quarters.add(s.Seq, n.o.PacksMax)
	n.see(s.Seq, s.ID)
	switch err {
	case nil:
		n.rooms.Append(r.name, n.epoch, list)
		n.counters.appended.Add(uint64(len(list)))
	case errVersion:
		n.counters.unknownVersion.Add(1)
		n.warn("version", "a message is of a newer version, and left out", "room", r.name, "sequence", s.Seq)
		n.counters.resets.Add(1)
		n.rooms.Reset(r.name, n.epoch)
		n.rooms.Fill(r.name, n.epoch, endOf(s.Seq), nil)
	default:
		n.counters.garbage.Add(1)
		n.warn("garbage", "something in the stream is no message, and left out", "room", r.name, "sequence", s.Seq)
	}
	clear(list)
	n.decoded = list[:0]
}

// goLive lets a room's messages through again, those first that were held.
func (n *Node) goLive(r *room) {
	r.state = live
	r.tries, r.mustAsk, r.target = 0, false, 0
	held := n.dropHeld(r)
	for i := range held {
		if n.follow(r, &held[i]); r.state != live {
			for j := i + 1; j < len(held); j++ {
				n.hold(r, &held[j])
			}
			return
		}
	}
	n.doors.open(r.name)
}

// reset tells a room that its continuity is not proved, and has it filled anew.
func (n *Node) reset(r *room) {
	n.counters.resets.Add(1)
	n.doors.shut(r.name)
	n.rooms.Reset(r.name, n.epoch)
	n.dropHeld(r)
	r.last, r.lastID, r.isPlaced = 0, "", false
	r.provenTo, r.provenAt, r.behind = 0, 0, 0
	r.quarters, r.isShort = quarters{}, false
	n.reopen(r)
}

// lost resets a room, and says why.
func (n *Node) lost(r *room, why string) {
	n.warn("lost", "a room's clients are told that continuity is lost: "+why, "room", r.name, "last", r.last, "wanted", r.target)
	n.reset(r)
}

// expect says that the room has a message of that sequence, which should have been republished by
// now.
func (n *Node) expect(name string, seq uint64) {
	if r := n.byName[name]; r != nil && seq > r.last {
		r.appendedAt = n.now()
	}
}
