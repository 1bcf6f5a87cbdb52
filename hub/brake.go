package hub

// IsFull reports whether publishers have to wait: some loop's sweep, or most of the members that
// keep taking bytes, are further behind than the publish window. A publisher that asks before each
// message overshoots by one at most. Members ask by AwaitRoom, which also keeps them in line.
func (r *Room) IsFull() bool { return r.isFull.Load() }

// mustWait is the brake's rule: the room waits for the many, never for the few. The caller holds
// the lock.
//
//   - For every loop's sweep, because members whose turn has not come are our own debt.
//   - For a loop that has not looked at its blocked members since two segments were dropped.
//   - For the majority of those that have caught up, are behind, or are blocked but progressing.
//     Members that have stopped reading, or are to Finish, count on neither side, and senders that
//     keep up with what is mostly their own not on that of those that have caught up: see vote.
func (r *Room) mustWait() bool {
	var activeMembers, lateMembers int32
	for _, b := range r.branches {
		end, oldest := b.track.end.Load(), b.track.oldest.Load().base
		if end-b.sweptTo > r.hub.limits.Window || oldest-b.ackedTo > 2*int64(r.log.largest) {
			return true
		}
		activeMembers += b.reported.activeMembers
		lateMembers += b.reported.lateMembers
	}
	return 2*lateMembers > activeMembers
}
