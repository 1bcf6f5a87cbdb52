package hub

import (
	"sync/atomic"
	"time"
)

const (
	segmentMin     = 1 << 10
	segmentMax     = 256 << 10
	segmentsPerLog = 16 // a full backlog has as many or more: it drops a sixteenth at a time at most
	ownPart        = 8  // a frame of this part of a grown segment or more lies in one of its own
	spareMin       = 16 << 10
	frameMeanFirst = 64 // bytes; how many frame ends a track's first segment has room for
	stampEvery     = 16 // frames that share one time of publishing
	leftoverMin    = 64 // bytes that are worth going on in
)

// A track is one encoding of a log, a chain of segments:
//
//	first ─▶ [ dropped ]──next─▶ [ frames ]──next─▶ [ frames ]──next─▶ [ frames ··· free ] ◀─ tail
//	          ▲                oldest ─▲                ▲                        ▲
//	          cursor (blocked,         cursor (blocked) cursor (behind)          cursors (caught up)
//	          to be overrun)
//
// What was dropped counts until every loop has brought its members past it, or overrun them.
//
// One writer at a time appends, under the room's lock. Bytes below a segment's published length
// never change, so readers on other loops need no lock: they load the length and read up to it.
// There is no reference count: a segment lives while it is counted or a cursor stands in it or
// before it.
type track struct {
	encoding Encoding
	building bool                    // see Hub.Build: what was published before it opened is yet to be added
	tail     *segment                // nil while nobody reads the track
	spare    *segment                // the next tail, made without the lock; nil when there is none yet
	leftover *segment                // what a tail had free when a large frame came: goes on behind that
	first    *segment                // no cursor stands before it
	oldest   atomic.Pointer[segment] // first segment retained; cursors before it are overrun
	end      atomic.Int64            // position behind the last frame
	memory   int64                   // bytes from first to tail, and those of the spare and the leftover
	dropped  int64                   // … of which before oldest
	readers  int                     // members whose cursors stand in it
	grown    int                     // bytes of the last segment that was not made for one frame
	mean     int                     // bytes of a frame in it, about
}

// A segment is a stretch of a track: frames one behind the other, where each ends, and about when
// it was published. The arrays are allocated with it and never reallocated: growing one would move
// it under a reader. Two segments may share arrays, one behind the other in them, with a large
// frame between them. The younger one counts for both: it is there for as long as the arrays are.
//
//	[ frames | leftover ]         ──▶  [ frames ] ──▶ [ large frame ] ──▶ [ leftover ]
//	         ▲ skip, skipped of the leftover, which is a segment of the same arrays
type segment struct {
	data      []byte
	ends      []uint32        // by frame: offset behind it
	stamps    []time.Duration // by frame / stampEvery: when the first of the group was published
	published atomic.Uint64   // frames in the high half, bytes in the low half: one load gives both
	next      atomic.Pointer[segment]
	base      int64  // position of its first byte in the track
	first     uint64 // number of its first frame
	skip      uint32 // offset in data of its first byte
	skipped   uint32 // index in ends of its first frame
	isOwn     bool   // made for one large frame
	size      int64  // bytes of memory it counts for. Guarded by the room's lock.
}

// footprint is what the allocator takes for n bytes: beyond 32 KiB it is whole pages.
func footprint(n int) int64 {
	const page, largeFrom = 8 << 10, 32 << 10
	if n <= largeFrom {
		return int64(n)
	}
	return int64(n+page-1) &^ (page - 1)
}

func (s *segment) load() (frames, bytes uint32) {
	word := s.published.Load()
	return uint32(word >> 32), uint32(word)
}

func (s *segment) publish(frames, bytes uint32) {
	s.published.Store(uint64(frames)<<32 | uint64(bytes))
}

// newSegment returns a segment that has no place in a track yet.
func newSegment(bytes, frames int) *segment {
	s := &segment{}
	s.init(bytes, frames)
	return s
}

func (s *segment) init(bytes, frames int) {
	s.data = make([]byte, bytes)
	s.ends = make([]uint32, frames)
	s.stamps = make([]time.Duration, stampsOf(frames))
	s.size = segmentSize{bytes, frames}.memory()
}

// append adds one frame, for which there is room.
func (s *segment) append(f *Frame, now time.Duration) {
	frames, bytes := s.load()
	bytes += uint32(copy(s.data[bytes:], f.Head))
	bytes += uint32(copy(s.data[bytes:], f.Payload))
	s.ends[frames] = bytes
	if frames%stampEvery == 0 {
		s.stamps[frames/stampEvery] = now
	}
	s.publish(frames+1, bytes)
}

func (s *segment) hasRoom(n int) bool {
	frames, bytes := s.load()
	return int(frames) < len(s.ends) && int(bytes)+n <= len(s.data)
}

// An ownSegment is a large frame in a segment of its own, and the head of the one that may go on
// behind it: all that is to be allocated for the frame. They are no one object, or the second would
// keep the first alive, and with it all that follows the first.
type ownSegment struct{ large, leftover *segment }

func newOwnSegment(f *Frame, now time.Duration) *ownSegment {
	o := &ownSegment{large: newSegment(f.len(), 1), leftover: &segment{}}
	o.large.isOwn = true
	o.large.append(f, now)
	return o
}

// segmentSize is what a segment to be has room for; the zero value is none.
type segmentSize struct{ bytes, frames int }

func (z segmentSize) make() *segment { return newSegment(z.bytes, z.frames) }

// memory is how many bytes of memory it takes.
func (z segmentSize) memory() int64 {
	return footprint(z.bytes) + footprint(4*z.frames) + footprint(8*stampsOf(z.frames))
}

func stampsOf(frames int) int { return (frames + stampEvery - 1) / stampEvery }

func (t *track) isOpen() bool { return t.tail != nil }

// open begins the track anew where it ended. next is the number of its first frame to be.
func (t *track) open(next uint64) {
	// Quiet rooms are many: the first frame brings the first bytes.
	t.tail = &segment{base: t.end.Load(), first: next}
	t.first = t.tail
	t.oldest.Store(t.tail)
}

// close lets go of everything.
func (t *track) close() {
	t.tail, t.spare, t.leftover, t.first, t.memory, t.dropped = nil, nil, nil, nil, 0, 0
	t.oldest.Store(nil)
}

// held is how many bytes of frames it retains.
func (t *track) held() int64 { return t.end.Load() - t.oldest.Load().base }

// append adds one frame whose number is next, with a segment if need be, and reports whether it
// needed one.
func (t *track) append(f *Frame, next uint64, now time.Duration, largest int) (isNew bool) {
	if isNew = !t.tail.hasRoom(f.len()); isNew {
		t.extend(f.len(), next, largest)
	}
	t.tail.append(f, now)
	_, bytes := t.tail.load()
	t.end.Store(t.tail.base + int64(bytes-t.tail.skip))
	return isNew
}

// appendOwn adds a large frame that lies in a segment already.
func (t *track) appendOwn(own *ownSegment, next uint64) {
	if tail := t.tail; !tail.isOwn {
		frames, bytes := tail.load()
		if free := len(tail.data) - int(bytes); free >= leftoverMin && int(frames) < len(tail.ends) {
			left := own.leftover
			left.data, left.ends, left.stamps = tail.data, tail.ends, tail.stamps
			left.skip, left.skipped = bytes, frames
			left.publish(frames, bytes)
			left.size, tail.size = tail.size, 0
			t.leftover = left
		}
	}
	t.memory += own.large.size
	t.link(own.large, next)
	t.end.Store(t.tail.base + int64(len(t.tail.data)))
}

// extend starts a segment that has room for a frame of n bytes, whose number is next.
func (t *track) extend(n int, next uint64, largest int) {
	var s *segment
	switch {
	case t.leftover != nil && t.leftover.hasRoom(n):
		s, t.leftover = t.leftover, nil
	case t.spare != nil && len(t.spare.data) >= n:
		s, t.spare = t.spare, nil
		t.grown = len(s.data)
	default:
		s = t.nextSize(n, largest).make()
		t.memory += s.size
		t.grown = len(s.data)
	}
	t.abandonLeftover(s)
	t.link(s, next)
}

// goesOnIn reports whether s, a leftover, is what the older segment has free.
func (s *segment) goesOnIn(older *segment) bool {
	_, bytes := older.load()
	return len(older.data) > 0 && &s.data[0] == &older.data[0] && s.skip == bytes
}

// abandonLeftover makes s count for the leftover's arrays: they live no longer than it, because the
// segment that they lie in as well is not behind it.
func (t *track) abandonLeftover(s *segment) {
	if t.leftover != nil {
		s.size += t.leftover.size
		t.leftover = nil
	}
}

// link makes s the tail. Storing next is the last thing that ever happens to the old tail.
func (t *track) link(s *segment, next uint64) {
	old := t.tail
	if frames, bytes := old.load(); !old.isOwn && frames > old.skipped {
		t.mean = max(2, int((bytes-old.skip)/(frames-old.skipped)))
	}
	s.base, s.first = t.end.Load(), next
	t.tail = s
	old.next.Store(s)
}

// dropOldest retains the oldest segment no longer, which is not the tail, and returns how many
// bytes of frames it has.
func (t *track) dropOldest() (bytes int64) {
	oldest := t.oldest.Load()
	if left := t.leftover; left != nil && left.goesOnIn(oldest) {
		t.abandonLeftover(oldest) // For a few bytes it would keep a whole segment.
	}
	next := oldest.next.Load()
	t.dropped += oldest.size
	t.oldest.Store(next)
	return next.base - oldest.base
}

// dropSpare lets go of the next tail. One that is needed later begins small again.
func (t *track) dropSpare() {
	t.grown = 0
	if t.spare != nil {
		t.memory -= t.spare.size
		t.spare = nil
	}
}

// retire drops everything, the tail too, behind which an empty one begins. It returns how many
// bytes of frames that was.
func (t *track) retire(next uint64) (bytes int64) {
	t.dropSpare()
	t.abandonLeftover(t.tail)
	if len(t.tail.data) > 0 {
		t.link(&segment{}, next)
	}
	for t.oldest.Load() != t.tail {
		bytes += t.dropOldest()
	}
	return bytes
}

// forget counts the dropped segments before a position no longer: no cursor stands in them.
func (t *track) forget(to int64) {
	for oldest := t.oldest.Load(); t.first != oldest; {
		next := t.first.next.Load()
		if next.base > to {
			return
		}
		t.memory -= t.first.size
		t.dropped -= t.first.size
		t.first = next
	}
}

// nextSize is that of the segment behind the tail: twice as large as the last grown one, up to the
// limit, and with room for n bytes and for frames such as the track had.
func (t *track) nextSize(n, largest int) segmentSize {
	mean := t.mean
	if frames, bytes := t.tail.load(); !t.tail.isOwn && frames > t.tail.skipped {
		mean = max(2, int((bytes-t.tail.skip)/(frames-t.tail.skipped)))
	}
	if mean == 0 {
		mean = frameMeanFirst
	}
	room := max(n, min(max(2*t.grown, segmentMin), largest))
	return segmentSize{room, max(4, room/mean)}
}

// needsSpare tells the size of the spare to make, if it is time to: the tail is half full, and
// large enough for its successor to be worth a second turn of the lock.
func (t *track) needsSpare(largest int) segmentSize {
	if !t.isOpen() || t.spare != nil || t.tail.isOwn || len(t.tail.data) < spareMin {
		return segmentSize{}
	}
	frames, bytes := t.tail.load()
	if isHalfFull := int(bytes) > len(t.tail.data)/2 || int(frames) > len(t.tail.ends)/2; !isHalfFull {
		return segmentSize{}
	}
	return t.nextSize(0, largest)
}
