package hub

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Room is a log and the members that read it, kept in branches: one for each loop and track that has members. Its methods may
// be called from any goroutine.
type Room struct {
	hub    *Hub
	name   string
	policy Policy

	mu       sync.Mutex
	log      log
	branches []*branch // in the order they came
	members  int
	isClosed bool // the last member left: whoever still holds the room looks it up anew
	isWarm   bool // on some fanout's list of rooms whose memory to reclaim

	isFull atomic.Bool   // the brake: publishers wait. Written under mu, read without.
	held   atomic.Int64  // log.held, likewise
	next   atomic.Uint64 // log.next, likewise
	oldest atomic.Uint64 // lowest number that every open track retains, likewise
	brim   atomic.Int64  // what the log may come to hold before it drops, likewise: the backlog, or less if all rooms had too much
	uses   atomic.Uint32 // a bit for each open track. Written under mu, read without.

	// Guarded by the hub's backlog.
	spendable int64 // bytes the room could drop
	heapIndex int   // its place among the rooms that could drop something
}

func newRoom(h *Hub, name string) *Room {
	r := &Room{hub: h, name: name, policy: h.policyOf(name)}
	r.log.init(h.limits.Backlog)
	r.brim.Store(h.limits.Backlog)
	return r
}

// Name is the room's name.
func (r *Room) Name() string { return r.name }

// Policy is what becomes of the room's members that the log overtakes.
func (r *Room) Policy() Policy { return r.policy }

// IsFull reports whether publishers have to wait: some loop's sweep, or most of those members who keep taking bytes, are
// further behind than the publish window. A publisher that asks before each message overshoots by one at most.
func (r *Room) IsFull() bool { return r.isFull.Load() }

// Uses reports whether a member reads that track, so that it is worth a publisher's while to encode for it.
func (r *Room) Uses(t Track) bool { return r.uses.Load()&(1<<t) != 0 }

// RoomStats describe a room at one moment.
type RoomStats struct {
	Members int
	Held    int64            // bytes of memory the log retains, all tracks together
	Next    uint64           // number of the next message
	End     [numTracks]int64 // bytes ever published, by track
}

// Stats returns the room's figures.
func (r *Room) Stats() RoomStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := RoomStats{Members: r.members, Held: r.log.held, Next: r.log.next}
	for t := range s.End {
		s.End[t] = r.log.tracks[t].end.Load()
	}
	return s
}

// Publish appends one message and marks every loop that has members who can take it. It returns the message's number. by is the caller's own
// fanout, whose next Flush wakes the other loops; nil, for callers outside of all loops, wakes them at once. now is the
// caller's clock, for telling the age of what waits. Publish does not ask IsFull: callers do, before they take a message from
// its sender.
func (r *Room) Publish(by *Fanout, now time.Duration, m *Message) uint64 {
	// Memory is fetched and loops are woken without the lock: whoever waits for it is a loop that serves others.
	own := r.ownSegments(m)
	isOutside := by == nil
	if isOutside {
		by = new(Fanout)
	}
	seq, spares, isOver := r.publish(by, now, m, &own)
	if spares != (spareSizes{}) {
		r.keepSpares(&spares)
	}
	if isOver {
		r.hub.fit(by)
	}
	if isOutside {
		by.wakeOwed()
	}
	return seq
}

// spareSizes are those of the segments to make for later, by track.
type spareSizes [numTracks]segmentSize

// ownSegments makes those for frames larger than grown segments are.
func (r *Room) ownSegments(m *Message) (own [numTracks]*segment) {
	for t := range own {
		if n := m.frame(Track(t)).len(); n > r.log.largest && r.Uses(Track(t)) {
			own[t] = newSegment(n, 1)
		}
	}
	return own
}

func (r *Room) publish(by *Fanout, now time.Duration, m *Message, own *[numTracks]*segment) (seq uint64, spares spareSizes, isOver bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq, hasMoved := r.log.append(m, now, own)
	r.next.Store(r.log.next)
	hasFilled := !r.isFull.Load() && r.mustWait()
	if hasFilled {
		r.isFull.Store(true)
	}
	for _, b := range r.branches {
		if hasMoved || hasFilled || b.minds() {
			b.mark(by)
		}
	}
	if hasMoved {
		isOver = r.hub.backlog.set(r, r.log.spendable())
		r.noteHeld()
	}
	for t := range spares {
		spares[t] = r.log.tracks[t].wantsSpare(r.log.largest)
	}
	return seq, spares, isOver
}

// noteHeld publishes what the log holds after it gained or lost a segment. The caller holds the lock.
func (r *Room) noteHeld() {
	r.held.Store(r.log.held)
	r.oldest.Store(r.log.oldest())
	if r.log.held > r.brim.Load() {
		r.brim.Store(min(r.log.held, r.log.backlog))
	}
}

// keepSpares leaves the next segments ready for whoever fills the present ones.
func (r *Room) keepSpares(sizes *spareSizes) {
	var made [numTracks]*segment
	for i, size := range sizes {
		if size.bytes > 0 {
			made[i] = size.make()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range made {
		if t := &r.log.tracks[i]; s != nil && t.isOpen() && t.spare == nil && len(t.tail.data) > 0 {
			t.spare = s
		}
	}
}

// mustWait is the brake's rule. The room waits for the many, never for the few: for every loop's sweep, because members
// whose turn has not come are our own debt, and for the majority of those that are even, waiting, or blocked but moving.
// Members that have stopped reading count on neither side. The caller holds the lock.
func (r *Room) mustWait() bool {
	var crowd, late int32
	for _, b := range r.branches {
		end, oldest := b.track.end.Load(), b.track.oldest.Load().base
		if end-b.swept > r.hub.limits.Window || oldest-b.answered > 2*int64(r.log.largest) {
			return true
		}
		crowd += b.told.crowd
		late += b.told.late
	}
	return 2*late > crowd
}

// join makes m a member behind the last frame published: a publish either precedes the join or sees the member's branch.
// False means that the room was closed meanwhile.
func (r *Room) join(f *Fanout, id Track, m *Member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return false
	}
	t := &r.log.tracks[id]
	r.log.enter(t)
	r.uses.Store(r.uses.Load() | 1<<id)
	b := r.branchOf(f, t)
	if b == nil {
		b = &branch{room: r, track: t, fan: f, swept: t.end.Load(), told: tally{lowest: r.log.next}, answered: t.oldest.Load().base}
		r.branches = append(r.branches, b)
	}
	r.members++
	m.branch = b
	m.cursor = t.atEnd()
	b.add(m)
	// What was published while all others there were blocked was no reason to call b. A full room counts m in.
	if b.swept < t.end.Load() || r.isFull.Load() {
		f.call(b)
	}
	return true
}

// leave ends m's membership, the track with its last reader, the branch with its last member, and the room with its last
// branch.
func (r *Room) leave(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := m.branch
	b.remove(m)
	r.members--
	if b.len() > 0 {
		r.log.exit(b.track)
		return
	}
	for i := range r.branches {
		if r.branches[i] == b {
			r.branches = append(r.branches[:i], r.branches[i+1:]...)
			break
		}
	}
	r.log.exit(b.track)
	if !b.track.isOpen() {
		r.uses.Store(r.uses.Load() &^ (1 << r.log.idOf(b.track)))
		r.hub.backlog.set(r, r.log.spendable())
	}
	if len(r.branches) == 0 {
		r.isClosed = true
		r.hub.forget(r) // Lock order: a room's before the hub's; the hub never takes a room's.
		return
	}
	r.release(b.fan)
	if !r.isWarm && r.log.held > 0 {
		r.branches[0].mark(b.fan) // Its next round is the one that has the memory given back: b's never ended.
	}
}

func (r *Room) branchOf(f *Fanout, t *track) *branch {
	for _, b := range r.branches {
		if b.fan == f && b.track == t {
			return b
		}
	}
	return nil
}

// report takes the outcome of a branch's finished round. The caller is the branch's loop.
func (r *Room) report(b *branch, done *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.swept, b.told = done.swept, done.tally
	b.answered = max(b.answered, done.oldest.base) // More may have been trimmed meanwhile.
	if b.aside.adrift > 0 && r.policy == Skip {
		b.told.lowest = min(b.told.lowest, done.oldest.first) // They go on there.
	}
	if r.hub.isLean.Load() {
		r.trim()
	}
	r.release(b.fan)
	if !r.isWarm && r.log.held > 0 {
		r.isWarm = true
		b.fan.warm = append(b.fan.warm, warmRoom{room: r})
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

// cool gives the log's memory back if nothing was published since the last look, when next was the number to come, and every
// member is even. It reports whether the room needs no further visit, and the number to compare with at the next.
func (r *Room) cool(next uint64, by *Fanout) (done bool, now uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = r.log.next
	if r.isClosed {
		return true, now
	}
	if now != next || !r.isEven() {
		return false, now
	}
	r.log.rest()
	r.held.Store(0)
	r.brim.Store(r.log.backlog)
	r.hub.backlog.set(r, 0)
	r.isWarm = false
	for _, b := range r.branches {
		b.mark(by) // Their cursors still hold the old segment; a sweep moves them off it.
	}
	return true, now
}

func (r *Room) isEven() bool {
	free := 0
	for _, b := range r.branches {
		if b.swept != b.track.end.Load() {
			return false
		}
		free += int(b.free.Load())
	}
	return free == r.members
}
