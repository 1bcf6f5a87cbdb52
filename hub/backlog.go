package hub

import (
	"container/heap"
	"sync"
	"sync/atomic"
)

// A backlog keeps what all rooms retain, their tails apart, within a limit: beyond it the room that
// retains most drops its oldest segment. Rooms report when they gain or lose a segment, not for
// each message. It is safe for concurrent use; its lock is taken with a room's held, never the
// other way round.
type backlog struct {
	drops atomic.Uint64 // segments dropped because all together were too many

	mu    sync.Mutex
	limit int64 // Limits.Total, or less while memory is short
	total int64
	rooms roomHeap // those that could drop something, the largest first
}

// set notes that r could drop n bytes, and reports whether all together are too many. The caller
// holds r's lock.
func (k *backlog) set(r *Room, n int64) (isOver bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total += n - r.spendable
	was := r.spendable
	r.spendable = n
	switch {
	case was == 0 && n > 0:
		heap.Push(&k.rooms, r)
	case was > 0 && n == 0:
		heap.Remove(&k.rooms, r.heapIndex)
	case n > 0:
		heap.Fix(&k.rooms, r.heapIndex)
	}
	return k.total > k.limit
}

// largest is the room to drop from, if all together are too many.
func (k *backlog) largest() (*Room, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.total <= k.limit || len(k.rooms) == 0 {
		return nil, false
	}
	return k.rooms[0], true
}

// spare is how many bytes all rooms together may retain beside what they do.
func (k *backlog) spare() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.limit - k.total
}

// Retained is how many bytes all rooms retain for members that have fallen behind, each room's
// newest segment left out.
func (h *Hub) Retained() int64 {
	h.backlog.mu.Lock()
	defer h.backlog.mu.Unlock()
	return h.backlog.total
}

// Pinned is how many bytes of dropped frames are kept for members in the middle of them.
func (h *Hub) Pinned() int64 { return h.pinned.Load() }

// Drops is how many segments were dropped because all rooms together retained too much.
func (h *Hub) Drops() uint64 { return h.backlog.drops.Load() }

// Tighten lowers what all rooms together may retain to total bytes, or raises it again, to
// Limits.Total at most. What is beyond it is dropped at once. It may be called from any goroutine
// that is no loop's.
func (h *Hub) Tighten(total int64) {
	h.backlog.mu.Lock()
	h.backlog.limit = min(total, h.limits.Total)
	h.backlog.mu.Unlock()
	by := new(Fanout)
	h.fit(by)
	by.wakeOwed()
}

// SaveMemory makes rooms retain only what some member has yet to get, from their next sweep on,
// until it is called again with false. It is not the rule because each segment dropped in a sweep
// is followed by another one.
func (h *Hub) SaveMemory(isOn bool) { h.isLowMemory.Store(isOn) }

// trim drops what every member has got. All tracks drop up to the same number, as always. The
// caller holds the lock.
func (r *Room) trim() {
	lowest := r.log.next
	for _, b := range r.branches {
		lowest = min(lowest, b.reported.lowest)
	}
	was := r.log.held
	for t := r.log.oldestTrack(); t != nil && t.oldest.Load().next.Load().first <= lowest; t = r.log.oldestTrack() {
		r.log.dropOldest(t)
	}
	if r.log.held == was {
		return
	}
	for _, b := range r.branches {
		b.ackedTo = max(b.ackedTo, b.track.oldest.Load().base) // Nobody stands before it.
	}
	r.hub.backlog.set(r, r.log.spendable())
	if r.hub.backlog.spare() >= r.log.backlog-r.log.held { // What made it drop before its own limit is over.
		r.capacity.Store(r.log.backlog)
	}
	r.noteHeld()
}

// fit drops from the largest rooms until all together retain no more than they may.
func (h *Hub) fit(by *Fanout) {
	for r, ok := h.backlog.largest(); ok; r, ok = h.backlog.largest() {
		r.dropOldest(by)
	}
}

// dropOldest drops one segment, because all rooms together retain too much.
func (r *Room) dropOldest(by *Fanout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.log.oldestTrack(); t != nil { // It may have dropped them itself meanwhile.
		r.log.dropOldest(t)
		r.hub.backlog.drops.Add(1)
		r.capacity.Store(r.log.held)
		r.noteHeld()
	}
	r.hub.backlog.set(r, r.log.spendable())
	for _, b := range r.branches {
		b.schedule(by, becauseSegment) // A member that stood there is overrun, and only a round finds it.
	}
}

// roomHeap implements heap.Interface.
type roomHeap []*Room

func (h roomHeap) Len() int           { return len(h) }
func (h roomHeap) Less(i, j int) bool { return h[i].spendable > h[j].spendable }
func (h roomHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *roomHeap) Push(x any) {
	r := x.(*Room)
	r.heapIndex = len(*h)
	*h = append(*h, r)
}

func (h *roomHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return r
}
