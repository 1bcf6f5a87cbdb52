package hub

import (
	"math/bits"
	"sync"
	"time"
)

// outsiders note for a publisher outside of all loops which ones to wake. Nothing is left in them.
var outsiders = sync.Pool{New: func() any { return new(Fanout) }}

// A published is what came of publishing a message.
type published struct {
	seq     uint64
	members int // that were there
	size    int // bytes in the log, in the encoding that makes most of it …
	own     int // … and in one that is in use

	position Position
	err      error // nothing was published, for good
}

// publish appends one message and schedules every branch that has members that can take it. by is
// the caller's own fanout, whose next Flush wakes the other loops; nil, for callers outside of all
// loops, wakes them at once. now is the caller's clock, for telling the age of what waits. It does
// not ask IsFull: callers do, before they take a message from its sender.
func (r *Room) publish(by *Fanout, now time.Duration, m Encoder, e Encoding) published {
	isOutside := by == nil
	if isOutside {
		by = outsiders.Get().(*Fanout)
		defer func() { // After a panic, too: loops that were marked are to hear of it.
			by.wakeOwed()
			outsiders.Put(by)
		}()
	}
	// Frames are made, memory is fetched and loops are woken without the lock: a loop that waits
	// for it serves others.
	var d draft
	for lacking := uint8(r.uses.Load()); ; {
		d.encode(r.hub, m, lacking)
		d.ownSegments(r.log.largeFrom(), lacking, now)
		a := r.append(by, now, &d)
		if lacking = a.lacking; lacking != 0 {
			continue // An encoding was opened meanwhile: once for each at most.
		}
		d.release()
		if a.needsSpare != 0 {
			r.keepSpares(a.needsSpare)
		}
		if a.isOver {
			r.hub.fit(by)
		}
		a.size, a.own = d.size(), d.frames[e].len()
		return a.published
	}
}

// An appended is what came of appending a message.
type appended struct {
	published
	lacking    uint8 // nothing was appended: it is to be encoded in these first
	needsSpare uint8 // tracks for which the next segment should be made
	isOver     bool  // all rooms together retain too much
}

func (r *Room) append(by *Fanout, now time.Duration, d *draft) (a appended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isSpoiled.Load() {
		return a
	}
	if r.log.history != nil && r.isClosed {
		a.err = errClosed
		return a
	}
	if a.lacking = d.substitute(r.hub, r.log.inUse); a.lacking != 0 {
		return a
	}
	if r.log.inUse&r.hub.placed != 0 {
		if a.position, a.err = r.log.place(r.hub, d, now); a.err != nil {
			return a
		}
	}
	var hasMoved bool
	a.seq, hasMoved = r.log.append(d, now)
	r.next.Store(r.log.next)
	a.members = int(r.members)
	r.account.Owed += uint64(r.members)
	if by.hub != nil {
		by.stats.Owed += uint64(r.members)
	} else {
		r.hub.owedOutside.Add(uint64(r.members)) // Under the lock: before one of them can have left.
	}
	hasFilled := !r.isFull.Load() && r.mustWait()
	if hasFilled {
		r.isFull.Store(true)
		r.mustAsk.Store(true)
	}
	for _, b := range r.branches {
		switch {
		case hasFilled:
			b.schedule(by, becauseFilled)
		case hasMoved:
			b.schedule(by, becauseSegment)
		case b.isConcerned():
			b.schedule(by, becausePublished)
		}
	}
	if hasMoved {
		a.isOver = r.noteMoved()
	}
	for set := r.log.inUse; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		if r.log.tracks[e].needsSpare(r.log.largest) != (segmentSize{}) {
			a.needsSpare |= 1 << e
		}
	}
	return a
}

// keepSpares makes the next segments of some tracks, for the publisher that fills the present ones.
// Where others would have to drop something for a spare, there is none.
func (r *Room) keepSpares(wanted uint8) {
	for set := wanted; set != 0; set &= set - 1 {
		t := r.log.tracks[bits.TrailingZeros8(set)] // It is there for good, and was when it needed one.
		size := r.neededSpare(t)
		if size != (segmentSize{}) && r.budget().spare() >= size.memory() {
			r.keepSpare(t, size.make())
		}
	}
}

func (r *Room) neededSpare(t *track) segmentSize {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.needsSpare(r.log.largest)
}

func (r *Room) keepSpare(t *track, s *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.needsSpare(r.log.largest) != (segmentSize{}) {
		t.spare = s
		t.memory += s.size
		r.noteMoved()
	}
}

// place gives a message its position in the epoch and writes it into its frames, where they have a
// place for it. It is called under the room's lock, before the frames are copied.
func (l *log) place(hub *Hub, d *draft, now time.Duration) (p Position, err error) {
	if h := l.history; h != nil {
		if h.filling == isVoid {
			return Position{}, ErrNotFilled
		}
		r := record(d.head(source))
		k := r.mark()
		switch {
		case k.isAbsent:
			k.offset = h.last.offset
		case k.offset == 0:
			k.offset = h.last.offset + 1
		}
		if !k.isAbsent && k.offset <= h.last.offset {
			return Position{}, ErrOffset
		}
		h.last = k
		r.place(k.offset, now)
		p = Position{h.epoch, k.offset}
	}
	for e := range tracksOf(l.inUse & hub.placed &^ (1 << source)) {
		hub.encodings[e].put(d.head(e), d.frames[e].PositionAt, p)
	}
	return p, nil
}

// put writes a position into the frame that begins with head.
func (info *EncodingInfo) put(head []byte, at int, p Position) {
	if at > 0 && info.PositionWidth > 0 {
		info.PutPosition(head[at:at+info.PositionWidth], p)
	}
}

// Publish sends a message to everybody in m's room, m included unless it is a speaker, and returns
// its number there. now is the loop's clock.
func (m *Member) Publish(now time.Duration, msg Encoder) uint64 {
	p := m.branch.room.publish(m.branch.fan, now, msg, m.branch.track.encoding)
	m.spent = uint16(min(int(m.spent)+p.size, leaseBytes))
	m.said(p.own)
	return p.seq
}
