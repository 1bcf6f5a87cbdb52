package cluster

import "time"

// A room's History promises messages to whoever comes to any node, and the stream may have dropped
// some of them: for its size, or because a room may have no more packs. The nodes that have the
// room open have them still, and clients of others are told that what they missed is too old.
// Operators are told when that begins.

// judgePromise looks whether the stream keeps what is promised of a room that is live here.
func (n *Node) judgePromise(r *room, s *State) {
	offset, age, ok := n.rooms.Oldest(r.name)
	dropped := r.quarters.dropped()
	if r.isShort { // That is over when surely nothing is dropped, or one cut would be told with each quarter.
		dropped = r.quarters.maybeDropped()
	}
	isShort := ok && n.isPromised(age) && offset <= max(endOf(dropped), offsetOf(s.First, 0)-1)
	if isShort && !r.isShort {
		n.tellShort(r)
	}
	r.isShort = isShort
}

// judgeFilled looks whether what the stream keeps of a room that was filled from it is cut where
// the room's number of packs ends: what was before that, and dropped for the stream's size, nobody
// knows.
func (n *Node) judgeFilled(r *room) {
	f := &r.filling
	if r.isShort || f.packs < n.o.PacksMax || f.isCut {
		return
	}
	limits := n.o.HistoryOf(r.name)
	_, age, ok := n.rooms.Oldest(r.name)
	if ok && n.isPromised(age) && (limits.Age == 0 || age < limits.Age/8*7) && (limits.Messages == 0 || len(f.kept) < limits.Messages) {
		r.isShort = true
		n.tellShort(r)
	}
}

// isPromised reports whether a message of that age should be in the stream: what is older may have
// expired, by the servers' clocks.
func (n *Node) isPromised(age time.Duration) bool { return age < n.o.Age/8*7 }

func (n *Node) tellShort(r *room) {
	n.counters.short.Add(1)
	n.warn("short", "the stream has dropped messages that a room's history has still: --cluster-bytes or --cluster-messages is too small", "room", r.name)
}
