package hub

import (
	"container/heap"
	"sync"
	"sync/atomic"
)

// A backlog keeps what all rooms take within a limit: their logs, the newest segments too, and the
// dropped frames that members are inside. Beyond it the room that retains most drops its oldest
// segment, and if that is its newest, what stands behind it is an empty one.
//
//	limit ≥ what logs retain + pinned           at once, whoever publishes
//	        + what was dropped and not swept    before more is published, see Hub.IsShort
//
// Rooms report when they gain or lose a segment, not for each message. It is safe for concurrent
// use; its lock is taken with a room's held, never the other way round.
type backlog struct {
	drops   atomic.Uint64 // times something was dropped because all together were too much
	limit   atomic.Int64  // Limits.Total, or less while memory is short
	pinned  atomic.Int64  // bytes of dropped frames that members are in the middle of
	isShort atomic.Bool   // see Hub.IsShort

	mu       sync.Mutex
	retained int64    // bytes of memory that all rooms could drop
	dropped  int64    // … that they have dropped, and cursors may still keep
	rooms    roomHeap // those that could drop something, the largest first
}

// set notes that r could drop so many bytes, weight of which decide whether it does so before
// others, and has dropped so many that cursors may still keep. It reports whether all together are
// too many. The caller holds r's lock.
func (k *backlog) set(r *Room, retained, weight, dropped int64) (isOver bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.isSpoiled.Load() {
		retained, weight, dropped = 0, 0, 0 // Its memory goes with its members.
	}
	k.retained += retained - r.retained
	k.dropped += dropped - r.dropped
	was := r.retained
	r.retained, r.dropped = retained, dropped
	hasMoved := retained != was
	if r.setWeight(weight) {
		hasMoved = true
	}
	switch {
	case was == 0 && retained > 0:
		heap.Push(&k.rooms, r)
	case was > 0 && retained == 0:
		heap.Remove(&k.rooms, int(r.heapIndex))
	case hasMoved && retained > 0:
		heap.Fix(&k.rooms, int(r.heapIndex))
	}
	k.judge()
	return k.spareLocked() < 0
}

// judge tells publishers whether to wait. The caller holds the lock.
func (k *backlog) judge() { k.isShort.Store(k.dropped > 0 && k.spareLocked() < k.dropped) }

// pin notes that n bytes of dropped frames more, or fewer, are kept.
func (k *backlog) pin(n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pinned.Add(n)
	k.judge()
}

// setLimit changes how many bytes all rooms may take.
func (k *backlog) setLimit(n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limit.Store(n)
	k.judge()
}

// spareLocked is how many bytes may be retained beside those that are.
func (k *backlog) spareLocked() int64 { return k.limit.Load() - k.retained - k.pinned.Load() }

// largest is the room to drop from, if all together are too many.
func (k *backlog) largest() (*Room, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spareLocked() >= 0 || len(k.rooms) == 0 {
		return nil, false
	}
	return k.rooms[0], true
}

// spare is how many bytes all rooms together may retain beside what they do.
func (k *backlog) spare() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spareLocked()
}

func (k *backlog) all() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.retained + k.dropped + k.pinned.Load()
}

// roomHeap implements heap.Interface.
type roomHeap []*Room

func (h roomHeap) Len() int           { return len(h) }
func (h roomHeap) Less(i, j int) bool { return h[i].weight() > h[j].weight() }
func (h roomHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = int32(i), int32(j)
}

func (h *roomHeap) Push(x any) {
	r := x.(*Room)
	r.heapIndex = int32(len(*h))
	*h = append(*h, r)
}

func (h *roomHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return r
}

// share is a part of a whole, all of it at most.
func share(part, whole int64) float64 { return min(1, float64(part)/float64(max(1, whole))) }
