package reactor

import (
	"math/bits"
	"time"
)

// A Wheel is a hashed timer wheel: a circle of slots, each a list of timers whose due time, counted
// in ticks, falls on that slot in this turn of the circle or in a later one. Setting, moving and
// cancelling are constant in time; there is one timer for each place in a Slab. Whoever empties a
// place cancels its timer, so that the next occupant does not inherit it. It never reads a clock:
// callers pass the time. A timer fires at its due time rounded up to a tick, never before. A Wheel
// belongs to one goroutine.
type Wheel struct {
	tick  time.Duration
	done  int64    // every timer due at this tick or before has been handed out
	heads []uint32 // by slot: first timer of its list, or noSlot
	busy  []uint64 // a bit per slot with timers
	pages [][]timer
	len   int
}

// timer is one list element; its number is its source's slot, so a source's timer needs no lookup.
// There is one for each connection: TestIdleSourceSize pins its size.
type timer struct {
	due        int64 // in ticks; zero when not set
	prev, next uint32
}

// NewWheel returns a wheel of at least slots slots, each tick long, that starts at now. One turn of
// the circle should cover most timeouts in use: a timer further ahead is looked at once per turn.
func NewWheel(tick time.Duration, slots int, now time.Duration) *Wheel {
	n := max(64, 1<<bits.Len(uint(slots-1)))
	w := &Wheel{tick: tick, done: int64(now / tick), heads: make([]uint32, n), busy: make([]uint64, n/64)}
	for i := range w.heads {
		w.heads[i] = noSlot
	}
	return w
}

// Set makes the timer of place i due at the given time, instead of whatever it had. A time already
// past is due at the next tick.
func (w *Wheel) Set(i uint32, due time.Duration) {
	w.Cancel(i)
	ticks := max(int64((due-1)/w.tick)+1, w.done+1) // Rounded up without overflow.
	n := w.grow(i)
	head := &w.heads[w.slot(ticks)]
	*n = timer{due: ticks, prev: noSlot, next: *head}
	if *head != noSlot {
		w.at(*head).prev = i
	}
	*head = i
	w.busy[w.slot(ticks)/64] |= 1 << (w.slot(ticks) % 64)
	w.len++
}

// Due is when the timer of place i is due, in whole ticks; zero: it has none.
func (w *Wheel) Due(i uint32) time.Duration {
	if int(i>>pageBits) >= len(w.pages) {
		return 0
	}
	return time.Duration(w.at(i).due) * w.tick
}

// Len is the number of timers set.
func (w *Wheel) Len() int { return w.len }

// Next is the time to call Expire again: no timer fires before it. It may be early, when the next
// busy slot holds only timers of later turns. False means that no timer is set.
func (w *Wheel) Next() (time.Duration, bool) {
	if w.len == 0 {
		return 0, false
	}
	for ahead := int64(1); ; {
		slot := w.slot(w.done + ahead)
		if rest := w.busy[slot/64] >> (slot % 64); rest != 0 {
			return time.Duration(w.done+ahead+int64(bits.TrailingZeros64(rest))) * w.tick, true
		}
		ahead += int64(64 - slot%64)
	}
}

// Expire appends the places whose timers are due at now to dst, as many as its spare capacity
// takes, and unsets these timers. If dst came back full, there may be more: call again, at once or
// after other work.
func (w *Wheel) Expire(now time.Duration, dst []uint32) []uint32 {
	until := int64(now / w.tick)
	// One turn meets every slot; what lies further back than a turn is met on the way.
	w.done = max(w.done, until-int64(len(w.heads)))
	for w.done < until {
		for i := w.heads[w.slot(w.done+1)]; i != noSlot; {
			n := w.at(i)
			next := n.next
			if n.due <= until {
				if len(dst) == cap(dst) {
					return dst
				}
				dst = append(dst, i)
				w.Cancel(i)
			}
			i = next
		}
		w.done++
	}
	return dst
}

func (w *Wheel) slot(ticks int64) uint { return uint(ticks) & uint(len(w.heads)-1) }

func (w *Wheel) at(i uint32) *timer { return &w.pages[i>>pageBits][i&(pageSize-1)] }

func (w *Wheel) grow(i uint32) *timer {
	for int(i>>pageBits) >= len(w.pages) {
		w.pages = append(w.pages, make([]timer, pageSize))
	}
	return w.at(i)
}

// Cancel forgets the timer of place i, if it is set.
func (w *Wheel) Cancel(i uint32) {
	if int(i>>pageBits) >= len(w.pages) || w.at(i).due == 0 {
		return
	}
	n := w.at(i)
	slot := w.slot(n.due)
	if n.prev == noSlot {
		w.heads[slot] = n.next
	} else {
		w.at(n.prev).next = n.next
	}
	if n.next != noSlot {
		w.at(n.next).prev = n.prev
	}
	if w.heads[slot] == noSlot {
		w.busy[slot/64] &^= 1 << (slot % 64)
	}
	n.due = 0
	w.len--
}
