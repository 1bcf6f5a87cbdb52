package cluster

// quarters are the sequences of a room's packs at each quarter of as many as the stream keeps of
// one room, the newest last: of the first, and of what is before it, it keeps nothing.
type quarters struct {
	seqs  [5]uint64
	count int // packs since the last one
}

// add notes a pack of the room.
func (q *quarters) add(seq uint64, packsMax int) {
	if q.count++; q.count >= (packsMax+3)/4 {
		copy(q.seqs[:], q.seqs[1:])
		q.seqs[len(q.seqs)-1], q.count = seq, 0
	}
}

// dropped is a sequence up to which the stream keeps nothing of the room; zero if it may keep all.
func (q *quarters) dropped() uint64 { return q.seqs[0] }

// maybeDropped is a sequence up to which it may keep nothing: about a quarter more than dropped.
func (q *quarters) maybeDropped() uint64 { return q.seqs[1] }
