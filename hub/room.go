package hub

import (
	"math/bits"
	"sync"
	"sync/atomic"
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

// Why a room's publishers wait beside the brake, a bit for each.
const (
	heldToFill uint32 = 1 << iota // the room was made, and Fill is to come
	heldByHold                    // by Hold
)

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
			to = min(to, *r.log.history.building)
		}
		was := t.first
		t.forget(to)
		isLess = isLess || t.first != was
	}
	return isLess
}

// speakers are a room's, each in a branch of its own. Most rooms have none.
type speakers struct{ branches []*branch }

func (s *speakers) all() []*branch {
	if s == nil {
		return nil
	}
	return s.branches
}

// closeIfEmpty closes a room that nobody is in, and reports whether it did. Rooms with history
// outlive their members: Expire sees to them. The caller holds the lock.
func (r *Room) closeIfEmpty() bool {
	if r.log.history != nil || !r.hasNobody() {
		return false
	}
	r.close()
	return true
}

func (r *Room) hasNobody() bool { return len(r.branches) == 0 && len(r.speakers.all()) == 0 }

// close ends the room. The caller holds the lock.
func (r *Room) close() {
	r.isClosed = true
	if r.log.history != nil {
		r.log.shutAll()
		r.noteMoved()
	}
	r.hub.forget(r) // Lock order: a room's before the hub's; the hub never takes a room's.
}

// retains reports whether the log has memory to give back. The caller holds the lock.
func (r *Room) retains() bool {
	memory, dropped := r.log.memory()
	return memory > dropped
}

// weigh is how much of what the room retains decides whether it drops before others: with history,
// what no member is waiting for, who can save no more by that than a room without history may
// retain. The caller holds the lock.
func (r *Room) weigh(retained int64) int64 {
	if r.log.history == nil || r.isClosed {
		return retained
	}
	lowest := r.log.next
	for _, b := range r.branches {
		lowest = min(lowest, b.reported.lowest)
	}
	needed := share(int64(r.log.next-lowest), int64(r.log.next-r.log.tracks[source].oldest.Load().first))
	return retained - min(int64(float64(retained)*needed), r.log.backlog)
}

// setWeight notes what weight is to be, and reports whether that is another one: without history it
// is what the room retains. The caller holds the budget's lock.
func (r *Room) setWeight(to int64) (isNew bool) {
	kept := r.log.history
	if kept == nil || kept.weight == to {
		return false
	}
	kept.weight = to
	return true
}

// weight decides which room drops first. The caller holds the lock.
func (r *Room) weight() int64 {
	if r.log.history != nil {
		return r.log.history.weight
	}
	return r.retained
}
