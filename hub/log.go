package hub

import (
	"math/bits"
	"time"
)

// A log is one room's stream, in as many tracks as its members read: one for each encoding in use.
// A message has the same number in all of them. A track nobody reads holds nothing. All of it is
// guarded by the room's lock, but for what readers may load without (see track).
type log struct {
	tracks  [EncodingsMax]*track // nil until the first reader came
	inUse   uint8                // a bit for each open track
	next    uint64               // number of the next frame
	held    int64                // bytes of memory that all tracks retain
	backlog int64                // bytes retained at least, all tracks together, once it held that many
	largest int                  // bytes of a grown segment
}

func (l *log) init(backlog int64) {
	l.backlog = backlog
	l.largest = int(min(segmentMax, max(segmentMin, backlog/segmentsPerLog)))
	l.next = 1
}

// largeFrom is from how many bytes on a frame lies in a segment of its own.
func (l *log) largeFrom() int { return l.largest / ownPart }

// append adds a message to every open track, in all of which the draft has it. It reports whether a
// segment was added or dropped.
func (l *log) append(d *draft, now time.Duration) (seq uint64, hasMoved bool) {
	for set := l.inUse; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		t := l.tracks[e]
		if own := d.own[e]; own != nil {
			l.held += t.appendOwn(own, l.next)
			hasMoved = true
			continue
		}
		grew, isNew := t.append(&d.frames[e], l.next, now, l.largest)
		l.held += grew
		hasMoved = hasMoved || isNew
	}
	l.next++
	if hasMoved {
		l.drop()
	}
	return l.next - 1, hasMoved
}

// oldest is the lowest number that every open track retains.
func (l *log) oldest() (first uint64) {
	for set := l.inUse; set != 0; set &= set - 1 {
		first = max(first, l.tracks[bits.TrailingZeros8(set)].oldest.Load().first)
	}
	return first
}

// drop lets go of the oldest segments beyond the backlog.
func (l *log) drop() {
	for t := l.oldestTrack(); t != nil && l.held-t.oldest.Load().size >= l.backlog; t = l.oldestTrack() {
		l.dropOldest(t)
	}
}

func (l *log) dropOldest(t *track) { l.held -= t.dropOldest() }

// oldestTrack is the one whose oldest segment ends at the lowest number, so that the tracks drop
// together and none drops what another still has: nil when there is none with more than its tail.
func (l *log) oldestTrack() (oldest *track) {
	var lowest uint64
	for set := l.inUse; set != 0; set &= set - 1 {
		t := l.tracks[bits.TrailingZeros8(set)]
		if t.oldest.Load() == t.tail {
			continue
		}
		if next := t.oldest.Load().next.Load().first; oldest == nil || next < lowest {
			oldest, lowest = t, next
		}
	}
	return oldest
}

// spendable is what could be dropped: everything but the tails.
func (l *log) spendable() (bytes int64) {
	for set := l.inUse; set != 0; set &= set - 1 {
		t := l.tracks[bits.TrailingZeros8(set)]
		bytes += t.held - t.tail.size
	}
	return bytes
}

// enter counts a reader of an encoding in; the first one opens its track.
func (l *log) enter(e Encoding) *track {
	t := l.tracks[e]
	if t == nil {
		t = &track{encoding: e}
		l.tracks[e] = t
	}
	if t.readers++; t.readers == 1 {
		t.open(l.next)
		l.inUse |= 1 << e
	}
	return t
}

// exit counts a reader out; the last one closes the track.
func (l *log) exit(t *track) {
	if t.readers--; t.readers == 0 {
		l.held -= t.close()
		l.inUse &^= 1 << t.encoding
	}
}

// reclaim lets go of all memory: cursors that are caught up move to an empty segment when they are
// next looked at. The caller knows that every cursor is caught up.
func (l *log) reclaim() {
	for set := l.inUse; set != 0; set &= set - 1 {
		l.held -= l.tracks[bits.TrailingZeros8(set)].reclaim(l.next)
	}
}
