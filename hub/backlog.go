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
	if kept := r.log.history; kept != nil {
		hasMoved = hasMoved || weight != kept.weight
		kept.weight = weight
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

// pin notes that so many bytes of dropped frames more, or fewer, are kept.
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

// Retained is how many bytes all rooms take: their logs, what those have dropped until sweeps are
// past it, and the frames of it that are pinned.
func (h *Hub) Retained() int64 {
	return h.backlog.all() + h.histories.all()
}

func (k *backlog) all() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.retained + k.dropped + k.pinned.Load()
}

// IsShort reports whether all rooms take more than they may, and only sweeps can change that: what
// they hold was dropped already, and cursors keep it. Publishers from outside ask before each
// message; one that is told so waits until its loop's tick has ended.
func (h *Hub) IsShort() bool { return h.backlog.isShort.Load() || h.histories.isShort.Load() }

// Pinned is how many bytes of dropped frames are kept for members in the middle of them.
func (h *Hub) Pinned() int64 { return h.backlog.pinned.Load() }

// Limit is how many bytes all rooms may take at this moment: Limits.Total and Limits.History, or
// less while memory is short.
func (h *Hub) Limit() int64 { return h.backlog.limit.Load() + h.histories.limit.Load() }

// Drops is how many times a room dropped something because all together retained too much, those
// with history not included: see HistoryStats.
func (h *Hub) Drops() uint64 { return h.backlog.drops.Load() }

// Tighten lowers what all rooms together may retain to total bytes, or raises it again, to
// Limits.Total and Limits.History at most, which are lowered alike. What is beyond it is dropped at
// once. It may be called from any goroutine that is no loop's.
func (h *Hub) Tighten(total int64) {
	l := &h.limits
	total = min(total, l.Total+l.History)
	histories := int64(float64(total) * (float64(l.History) / float64(l.Total+l.History)))
	h.histories.setLimit(histories)
	h.backlog.setLimit(total - histories)
	h.fitFromOutside()
}

// fitFromOutside is fit for a goroutine that is no loop's.
func (h *Hub) fitFromOutside() {
	by := new(Fanout)
	h.fit(by)
	by.wakeOwed()
}

// SaveMemory makes rooms retain only what some member has yet to get, from their next sweep on,
// until it is called again with false. It is not the rule because each segment dropped in a sweep
// is followed by another one.
func (h *Hub) SaveMemory(isOn bool) { h.isLowMemory.Store(isOn) }

// trim drops what every member has got. All tracks drop up to the same number, as always. The
// caller holds the lock, and by is its loop's.
func (r *Room) trim(by *Fanout) {
	lowest := r.log.next
	for _, b := range r.branches {
		lowest = min(lowest, b.reported.lowest)
	}
	if r.log.history != nil {
		lowest = min(lowest, r.log.needFrom())
	}
	was := r.log.held
	for t := r.log.oldestTrack(); t != nil && t.oldest.Load().next.Load().first <= lowest; t = r.log.oldestTrack() {
		r.log.dropOldest(t)
	}
	if r.log.held == was {
		return
	}
	for _, b := range r.branches {
		oldest := b.track.oldest.Load().base
		b.ackedTo = max(b.ackedTo, oldest) // Nobody needs what is before it …
		if b.lookedTo < oldest {
			b.schedule(by, becauseSegment) // … but cursors may stand at its end.
		}
	}
	r.forget()
	r.noteMoved()
	if r.budget().spare() >= r.log.backlog-r.log.held { // What made it drop before its own limit is over.
		r.capacity.Store(r.log.backlog)
	}
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

// fit drops from the largest rooms until all together retain no more than they may.
func (h *Hub) fit(by *Fanout) {
	for _, k := range [...]*backlog{&h.backlog, &h.histories} {
		for r, ok := k.largest(); ok; r, ok = k.largest() {
			r.giveUp(by)
		}
	}
}

// giveUp drops the oldest segment, or the newest where there is no other, because all rooms
// together retain too much.
func (r *Room) giveUp(by *Fanout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.retains() { // It may have dropped all of it itself meanwhile.
		return
	}
	if t := r.log.oldestTrack(); t != nil {
		r.log.dropOldest(t)
	} else {
		r.log.retire()
	}
	r.budget().drops.Add(1)
	r.capacity.Store(min(r.log.held, r.log.backlog))
	r.noteMoved()
	for _, b := range r.branches {
		b.schedule(by, becauseSegment) // A member that stood there is overrun, and only a round finds it.
	}
}

// weight decides which room drops first. The caller holds the lock.
func (r *Room) weight() int64 {
	if r.log.history != nil {
		return r.log.history.weight
	}
	return r.retained
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
