package hub

import "time"

// A Track is one encoding of a room's stream: its frames have the same numbers in every track.
type Track uint8

const (
	Plain    Track = iota // frames as they are
	Deflated              // frames deflated for clients that negotiated it, where that was worth it
	numTracks
)

// A Frame is bytes that go on the wire, in two parts so that a payload need not be copied behind its header.
type Frame struct{ Head, Payload []byte }

func (f *Frame) len() int { return len(f.Head) + len(f.Payload) }

// A Message is one message in the encodings that its publisher prepared. Plain is always there. Without a Deflated one the
// plain frame stands in its place, so that no track lacks a number.
type Message struct{ Plain, Deflated Frame }

func (m *Message) frame(t Track) *Frame {
	if t == Deflated && m.Deflated.Head != nil {
		return &m.Deflated
	}
	return &m.Plain
}

// A log is one room's stream, in as many tracks as its members read. A track nobody reads holds nothing. All of it is
// guarded by the room's lock, but for what readers may load without (see track).
type log struct {
	tracks  [numTracks]track
	next    uint64 // number of the next frame
	held    int64  // bytes of memory that all tracks retain
	backlog int64  // bytes retained at least, all tracks together, once there were so many
	largest int    // bytes of a grown segment
}

func (l *log) init(backlog int64) {
	l.backlog = backlog
	l.largest = int(min(segmentMax, max(segmentMin, backlog/segmentsPerLog)))
	l.next = 1
}

// append adds one message to every open track and returns its number. own holds segments for frames that are larger than
// grown segments are. It reports whether a segment was added or dropped.
func (l *log) append(m *Message, now time.Duration, own *[numTracks]*segment) (seq uint64, hasMoved bool) {
	for i := range l.tracks {
		t, f := &l.tracks[i], m.frame(Track(i))
		if !t.isOpen() {
			continue
		}
		if !t.hasRoom(f.len()) {
			l.held += t.extend(f.len(), l.next, l.largest, own[i])
			hasMoved = true
		}
		t.append(f, now)
	}
	l.next++
	if hasMoved {
		l.drop()
	}
	return l.next - 1, hasMoved
}

// oldest is the lowest number that every open track retains.
func (l *log) oldest() (first uint64) {
	for i := range l.tracks {
		if t := &l.tracks[i]; t.isOpen() {
			first = max(first, t.oldest.Load().first)
		}
	}
	return first
}

// drop lets go of the oldest segments beyond the backlog.
func (l *log) drop() {
	for t := l.oldestTrack(); t != nil && l.held-t.oldest.Load().size() >= l.backlog; t = l.oldestTrack() {
		l.dropOldest(t)
	}
}

func (l *log) dropOldest(t *track) { l.held -= t.dropOldest() }

// oldestTrack is the one whose oldest segment ends at the lowest number, so that the tracks drop together and none drops what
// another still has: nil when there is none with more than its tail.
func (l *log) oldestTrack() (oldest *track) {
	var lowest uint64
	for i := range l.tracks {
		t := &l.tracks[i]
		if !t.isOpen() || t.oldest.Load() == t.tail {
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
	for i := range l.tracks {
		if t := &l.tracks[i]; t.isOpen() {
			bytes += t.held - t.tail.size()
		}
	}
	return bytes
}

// enter counts a reader in; the first one opens the track.
func (l *log) enter(t *track) {
	if t.readers++; t.readers == 1 {
		t.open(l.next)
	}
}

func (l *log) idOf(t *track) Track {
	id := Plain
	for t != &l.tracks[id] {
		id++
	}
	return id
}

// exit counts a reader out; the last one closes the track.
func (l *log) exit(t *track) {
	if t.readers--; t.readers == 0 {
		l.held -= t.close()
	}
}

// rest lets go of all memory: cursors that are even move to an empty segment when they are next looked at. The caller knows
// that every cursor is even.
func (l *log) rest() {
	for i := range l.tracks {
		if t := &l.tracks[i]; t.isOpen() {
			l.held -= t.rest(l.next)
		}
	}
}
