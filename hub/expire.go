package hub

import (
	"math/bits"
	"time"
)

// Expire lets rooms with history go of what is older than its age, gives back what memory neither
// the history nor a member needs, and ends the rooms in which nobody has been for a while and
// nothing is kept. It is to be called every second or so, from a goroutine that is no loop's, with
// the clock by which messages are published.
func (h *Hub) Expire(now time.Duration) {
	by := new(Fanout)
	for r := range h.All {
		if r.log.history != nil {
			r.expire(by, now)
			by.wakeOwed()
		}
	}
}

func (r *Room) expire(by *Fanout, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return
	}
	r.log.expire(now)
	if r.log.history.expiredAt == r.log.next { // It is quiet, and the next segments are not to come.
		for e := range tracksOf(r.log.inUse) {
			r.log.tracks[e].dropSpare()
		}
		r.noteMoved()
	}
	r.log.history.expiredAt = r.log.next
	if r.log.closeUnused(now) {
		r.noteTracks()
		r.noteMoved()
	}
	r.giveBack(by)
	if r.isOver(now) {
		r.close()
	}
}

// isOver reports whether nobody has been in the room for a while, and nothing is kept. Its epoch is
// worth that time: who lost its connection is back soon, and may have missed nothing.
func (r *Room) isOver(now time.Duration) bool {
	h := r.log.history
	switch {
	case !r.hasNobody() || !r.log.isEmpty() && !r.hub.follows: // What such a hub keeps is kept elsewhere.
		h.emptySince = 0
	case h.emptySince == 0:
		h.emptySince = max(now, 1)
	}
	return h.emptySince > 0 && (now-h.emptySince >= graceTime || h.limits.isNone())
}

// giveBack lets go of what neither the room's history nor a member needs. The caller holds the
// lock.
func (r *Room) giveBack(by *Fanout) {
	if r.isClosed {
		return
	}
	if r.log.isEmpty() && r.retains() && r.isCaughtUp() {
		r.retire(by)
		return
	}
	r.trim(by)
}

// Clear removes what the room keeps. Its epoch goes on: who has everything missed nothing, and
// older positions are too old.
func (r *Room) Clear() {
	if r.log.history == nil {
		return
	}
	by := new(Fanout)
	defer by.wakeOwed()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.history.floor = r.log.next
	r.giveBack(by)
}

// TakeHistories asks Options.HistoryOf anew for the rooms that have a history. Others have none
// until they are made anew.
func (h *Hub) TakeHistories() {
	for r := range h.All {
		if r.log.history != nil {
			limits := h.historyOf(r.name)
			r.mu.Lock()
			r.log.history.limits = limits
			r.mu.Unlock()
		}
	}
}

// closeUnused closes tracks that nobody has read for a while, and reports whether there were any.
func (l *log) closeUnused(now time.Duration) (isAny bool) {
	since := &l.history.unusedSince
	for set := l.inUse &^ (1 << source); set != 0; set &= set - 1 {
		t := l.tracks[bits.TrailingZeros8(set)]
		switch {
		case t.readers > 0 || t.building:
		case since[t.encoding] == 0:
			since[t.encoding] = max(now, 1)
		case now-since[t.encoding] >= graceTime || l.isEmpty():
			l.shut(t)
			isAny = true
		}
	}
	return isAny
}

// graceTime is for how long a track is kept that nobody reads, in rooms with history: those who
// lost their connections are back soon, and nothing is encoded anew for them.
const graceTime = 30 * time.Second
