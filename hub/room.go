package hub

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// A Room is a log and the members that read it, kept in branches: one for each loop and track that
// has members. Its methods may be called from any goroutine.
type Room struct {
	hub  *Hub
	name string

	mu       sync.Mutex
	log      log
	line     *line     // publishers that wait; nil: there are none, and have not been
	branches []*branch // in the order they came
	account  Account   // without what its branches have delivered
	speakers *speakers // nil: there are none, and have not been
	members  int32
	isClosed bool // the last member left: a caller that still holds the room looks it up anew
	isSpread bool // it has grown out of its home
	isIdling bool // on some fanout's list of rooms whose memory to reclaim when they are idle

	// Written under mu, read without.
	isFull   atomic.Bool              // the brake: publishers wait
	mustAsk  atomic.Bool              // it is full, or others wait or have leases: publishers ask for their turn
	next     atomic.Uint64            // log.next
	several  atomic.Pointer[[]*track] // the open tracks, if there are two or more
	capacity atomic.Int64             // what the log holds before it drops: the backlog, or less if all had too much
	uses     atomic.Uint32            // log.inUse

	isSpoiled atomic.Bool   // see Spoil
	holds     atomic.Uint32 // why publishers wait beside the brake; written under mu

	// Guarded by its budget.
	heapIndex int32 // its place among the rooms that could drop something
	retained  int64 // bytes of memory that the room could drop
	dropped   int64 // … that it has dropped, and cursors may still keep
}

func newRoom(h *Hub, name string) *Room {
	r := &Room{hub: h, name: name}
	var kept *history
	if limits := h.historyOf(name); !limits.isNone() {
		kept = &history{epoch: h.newEpoch(), limits: limits}
	}
	r.log.init(h.limits.Backlog, kept)
	r.uses.Store(uint32(r.log.inUse))
	r.next.Store(r.log.next)
	r.capacity.Store(h.limits.Backlog)
	if h.follows {
		r.holds.Store(heldToFill)
		r.mustAsk.Store(true)
		if kept != nil {
			kept.filling = isVoid
		}
	}
	return r
}

// budget is the one of the hub's that counts the room's memory.
func (r *Room) budget() *backlog {
	if r.log.history != nil {
		return &r.hub.histories
	}
	return &r.hub.backlog
}

// Name is the room's name.
func (r *Room) Name() string { return r.name }

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

// noteTracks publishes which tracks there are after one was opened or closed. The caller holds the
// lock.
func (r *Room) noteTracks() {
	r.uses.Store(uint32(r.log.inUse))
	var open []*track
	for set := r.log.inUse; set != 0; set &= set - 1 {
		if t := r.log.tracks[bits.TrailingZeros8(set)]; !t.building {
			open = append(open, t)
		}
	}
	r.several.Store(nil)
	if len(open) > 1 {
		r.several.Store(&open)
	}
}

// noteMoved publishes what the log holds after it gained or lost a segment, and reports whether all
// rooms together retain too much. The caller holds the lock.
func (r *Room) noteMoved() (isOver bool) {
	if r.log.held > r.capacity.Load() {
		r.capacity.Store(min(r.log.held, r.log.backlog))
	}
	if r.log.history != nil {
		r.forget() // Rounds do it for tracks that somebody reads.
	}
	memory, dropped := r.log.memory()
	return r.budget().set(r, memory-dropped, r.weigh(memory-dropped), dropped)
}

// join makes m a member where start says, behind the last frame published in most cases: a publish
// either precedes the join or sees the member's branch. errClosed means that the room was closed
// meanwhile.
func (r *Room) join(f *Fanout, e Encoding, m *Member, start Start, now time.Duration) (Joined, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return Joined{}, errClosed
	}
	if home := r.home(f); home != f && !start.IsHere {
		return Joined{}, &ElsewhereError{home}
	}
	if !r.log.isJoinable(&start) {
		return Joined{}, ErrNotFilled
	}
	if r.log.lacks(e) {
		return Joined{}, ErrNotBuilt
	}
	if r.isAhead(start.Since) && !start.IsUnfilled {
		return Joined{}, ErrAhead
	}
	h := r.log.history
	if h != nil {
		h.emptySince = 0
	}
	t, isNew := r.log.enter(e)
	if isNew {
		r.noteTracks()
	}
	b := r.branchOf(f, t)
	if b == nil {
		b = &branch{
			room: r, track: t, fan: f, policy: r.hub.policyOf(r.name), isBundled: r.hub.encodings[e].IsBundled,
			sweptTo: t.end.Load(), reported: tally{lowest: r.log.next}, ackedTo: t.oldest.Load().base,
			roundedTo: uint16(r.log.next),
		}
		b.lookedTo = b.ackedTo
		if h != nil {
			b.resets = uint16(h.resets.Load())
		}
		r.branches = append(r.branches, b)
	} else if h != nil {
		b.noteReset(h) // Before m is in it, which has missed nothing.
	}
	r.members++
	m.branch = b
	from, j := r.log.begin(&start, t)
	if from < r.log.next || start.IsHeld {
		r.beginBehind(m, from, start.IsHeld, now)
		return j, nil
	}
	m.cursor = t.atEnd()
	m.setState(writable)
	b.add(m)
	// What was published while all others there were blocked was no reason to visit b. A full room
	// counts m in.
	if b.sweptTo < t.end.Load() || r.isFull.Load() {
		b.schedule(f, becauseJoined)
	}
	return j, nil
}

// leave ends m's membership, the track with its last reader, the branch with its last member, and
// the room with its last branch.
func (r *Room) leave(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := m.branch
	if b.isSpeaker {
		r.leaveAsSpeaker(m)
		return
	}
	r.settle(m)
	m.endCatchUp()
	b.remove(m)
	r.members--
	r.log.exit(b.track)
	r.quit(m)
	if b.len() > 0 {
		return
	}
	for i := range r.branches {
		if r.branches[i] == b {
			r.branches = append(r.branches[:i], r.branches[i+1:]...)
			break
		}
	}
	r.account.Delivered += b.delivered.Load()
	delete(b.fan.tellings, b)
	if !b.track.isOpen() {
		r.noteTracks()
	}
	r.forget()
	r.noteMoved() // Its track may have been closed.
	if r.closeIfEmpty() {
		return
	}
	r.release(b.fan)
	if len(r.branches) > 0 && !r.isIdling && r.log.history == nil && r.retains() {
		// Its next round sees to the memory: b's never ended.
		r.branches[0].schedule(b.fan, becauseToReclaim)
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
	b.sweptTo, b.reported = done.sweptTo, done.tally
	b.lookedTo = done.oldest.base
	b.ackedTo = max(b.ackedTo, b.lookedTo) // More may have been trimmed meanwhile.
	if b.blocked.overrun > 0 && b.policy == Skip {
		b.reported.lowest = min(b.reported.lowest, done.oldest.first) // They go on there.
	}
	if r.hub.isLowMemory.Load() {
		r.trim(b.fan)
	}
	if r.forget() {
		r.noteMoved()
	}
	r.release(b.fan)
	if !r.isIdling && r.log.history == nil && r.retains() { // Expire sees to those with history.
		r.isIdling = true
		b.fan.idle = append(b.fan.idle, idleRoom{room: r})
	}
}

// forget counts what was dropped no longer where every loop has brought its members past it, or
// overrun them, and reports whether there was any. The caller holds the lock.
func (r *Room) forget() (isLess bool) {
	for set := r.log.inUse; set != 0; set &= set - 1 {
		t := r.log.tracks[bits.TrailingZeros8(set)]
		if t.first == t.oldest.Load() {
			continue
		}
		to := t.end.Load()
		for _, b := range r.branches {
			if b.track == t {
				to = min(to, b.sweptTo, b.lookedTo)
			}
		}
		if t.encoding == source && r.log.history.building != nil {
			to = min(to, r.log.history.building.reads)
		}
		was := t.first
		t.forget(to)
		isLess = isLess || t.first != was
	}
	return isLess
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

// retains reports whether the log has memory to give back. The caller holds the lock.
func (r *Room) retains() bool {
	memory, dropped := r.log.memory()
	return memory > dropped
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
