package hub

import "time"

// reclaim gives back the memory of rooms that were idle since the last look, some at a time.
func (f *Fanout) reclaim(now time.Duration) {
	if f.reclaiming == 0 && now-f.reclaimedAt >= reclaimEvery {
		f.reclaimedAt, f.reclaiming = now, len(f.idle)
	}
	n := min(f.reclaiming, reclaimBatch)
	if n == 0 {
		return
	}
	f.reclaiming -= n
	batch := append([]idleRoom(nil), f.idle[:n]...)
	f.idle = append(f.idle[:0], f.idle[n:]...)
	for _, i := range batch {
		if done, next := i.room.reclaim(i.next, f); !done {
			f.idle = append(f.idle, idleRoom{room: i.room, next: next})
		}
	}
	f.wakeOwed()
}

// reclaim gives the log's memory back if nothing was published since the last look, when next was
// the number to come, and every member has caught up. It reports whether the room needs no further
// visit, and the number to compare with at the next.
func (r *Room) reclaim(next uint64, by *Fanout) (done bool, now uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = r.log.next
	if r.isClosed {
		return true, now
	}
	if now != next || !r.isCaughtUp() {
		return false, now
	}
	r.retire(by)
	r.isIdling = false
	return true, now
}

// retire gives back all of the log's memory, when a round has moved the cursors on. The caller
// holds the lock.
func (r *Room) retire(by *Fanout) {
	r.log.retire()
	r.noteMoved()
	r.capacity.Store(r.log.backlog)
	for _, b := range r.branches {
		b.schedule(by, becauseReclaimed)
	}
}

func (r *Room) isCaughtUp() bool {
	writable := 0
	for _, b := range r.branches {
		if b.sweptTo != b.track.end.Load() {
			return false
		}
		writable += int(b.writable.Load())
	}
	return writable == int(r.members)
}
