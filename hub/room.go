package hub

import (
	"sync"
	"sync/atomic"
)

// A Room is a log and the members that read it, kept in branches: one for each loop that has members. Its methods may be
// called from any goroutine.
type Room struct {
	hub  *Hub
	name string

	mu       sync.Mutex
	log      log
	branches []*branch // one per loop with members, in the order they came
	members  int
	isClosed bool // the last member left: whoever still holds the room looks it up anew
	isWarm   bool // on some fanout's list of rooms whose memory to reclaim

	isFull atomic.Bool // the brake: publishers wait. Written under mu, read without.
}

func newRoom(h *Hub, name string) *Room {
	r := &Room{hub: h, name: name}
	r.log.init(h.limits.Backlog)
	return r
}

// Name is the room's name.
func (r *Room) Name() string { return r.name }

// IsFull reports whether publishers have to wait: some loop's sweep, or most of those members who keep taking bytes, are
// further behind than the publish window. A publisher that asks before each message overshoots by one at most.
func (r *Room) IsFull() bool { return r.isFull.Load() }

// RoomStats describe a room at one moment.
type RoomStats struct {
	Members int
	Held    int64  // bytes of memory the log retains
	Next    uint64 // sequence number of the next message
	End     int64  // bytes ever published
}

// Stats returns the room's figures.
func (r *Room) Stats() RoomStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RoomStats{Members: r.members, Held: r.log.held, Next: r.log.next, End: r.log.end.Load()}
}

// Publish appends one frame, given in two parts, and marks every loop that has members. It returns the message's sequence
// number. by is the caller's own fanout, whose next Flush wakes the other loops; nil, for callers outside of all loops,
// wakes them at once. Publish does not ask IsFull: callers do, before they take a message from its sender.
func (r *Room) Publish(by *Fanout, head, payload []byte) uint64 {
	// Memory is fetched and loops are woken without the lock: whoever waits for it is a loop that serves others.
	var own *segment
	if n := len(head) + len(payload); n > r.log.largest {
		own = newSegment(n, 1)
	}
	outside := by == nil
	if outside {
		by = new(Fanout)
	}
	seq, spare := r.publish(by, own, head, payload)
	if spare != nil {
		r.keepSpare(spare.make())
	}
	if outside {
		by.wakeOwed()
	}
	return seq
}

func (r *Room) publish(by *Fanout, own *segment, head, payload []byte) (seq uint64, spare *segmentSize) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq = r.log.append(head, payload, own)
	for _, b := range r.branches {
		b.mark(by)
	}
	if !r.isFull.Load() && r.mustWait() {
		r.isFull.Store(true)
	}
	return seq, r.log.wantsSpare()
}

// keepSpare leaves the next segment ready for whoever fills the present one.
func (r *Room) keepSpare(s *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log.spare == nil && len(r.log.tail.data) > 0 {
		r.log.spare = s
	}
}

// mustWait is the brake's rule. The room waits for the many, never for the few: for every loop's sweep, because members
// whose turn has not come are our own debt, and for the majority of those that are even, waiting, or blocked but moving.
// Members that have stopped reading count on neither side. The caller holds the lock.
func (r *Room) mustWait() bool {
	end := r.log.end.Load()
	oldest := r.log.oldest.Load().base
	crowd, late := 0, 0
	for _, b := range r.branches {
		if end-b.swept > r.hub.limits.Window || oldest-b.answered > 2*int64(r.log.largest) {
			return true
		}
		crowd += b.crowd
		late += b.late
	}
	return 2*late > crowd
}

// join makes m a member behind the last frame published: a publish either precedes the join or sees the member's branch.
// False means that the room was closed meanwhile.
func (r *Room) join(f *Fanout, m *Member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return false
	}
	b := r.branchOf(f)
	if b == nil {
		b = &branch{room: r, fan: f, swept: r.log.end.Load(), answered: r.log.oldest.Load().base}
		r.branches = append(r.branches, b)
	}
	r.members++
	m.branch = b
	m.cursor = r.log.cursorAtEnd()
	b.add(m)
	return true
}

// leave ends m's membership, the branch with its last member, and the room with its last branch.
func (r *Room) leave(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := m.branch
	b.remove(m)
	r.members--
	if b.len() > 0 {
		return
	}
	for i := range r.branches {
		if r.branches[i] == b {
			r.branches = append(r.branches[:i], r.branches[i+1:]...)
			break
		}
	}
	if len(r.branches) == 0 {
		r.isClosed = true
		r.hub.forget(r) // Lock order: a room's before the hub's; the hub never takes a room's.
		return
	}
	r.release(b.fan)
}

func (r *Room) branchOf(f *Fanout) *branch {
	for _, b := range r.branches {
		if b.fan == f {
			return b
		}
	}
	return nil
}

// report takes the outcome of a branch's finished round. The caller is the branch's loop.
func (r *Room) report(b *branch, done *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.swept, b.answered, b.crowd, b.late = done.swept, done.oldest.base, done.crowd, done.late
	r.release(b.fan)
	if !r.isWarm && r.log.held > 0 {
		r.isWarm = true
		b.fan.warm = append(b.fan.warm, warmRoom{room: r, end: -1})
	}
}

// release lifts the brake if its reason is gone, and marks the branches whose publishers wait. The caller holds the lock.
func (r *Room) release(by *Fanout) {
	if !r.isFull.Load() || r.mustWait() {
		return
	}
	r.isFull.Store(false)
	for _, b := range r.branches {
		if b.hasWaiters {
			b.mark(by)
		}
	}
}

// await puts m among its branch's waiting publishers, unless the room is not full after all.
func (r *Room) await(m *Member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isFull.Load() {
		return false
	}
	m.branch.hasWaiters = true
	m.branch.waiters = append(m.branch.waiters, m)
	return true
}

// cool gives the log's memory back if nothing was published since the position end and every member is even. It reports
// whether the room needs no further visit, and the position to compare with at the next.
func (r *Room) cool(end int64, by *Fanout) (done bool, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at = r.log.end.Load()
	if r.isClosed {
		return true, at
	}
	if at != end || !r.isEven(at) {
		return false, at
	}
	r.log.rest()
	r.isWarm = false
	for _, b := range r.branches {
		b.mark(by) // Their cursors still hold the old segment; a sweep moves them off it.
	}
	return true, at
}

func (r *Room) isEven(end int64) bool {
	for _, b := range r.branches {
		if b.swept != end || b.blocked.Load() > 0 {
			return false
		}
	}
	return true
}
