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
//	oldest ──▶ [ frames ]──next──▶ [ frames ]──next──▶ [ frames ···· free ] ◀── tail
//	              ▲                    ▲                         ▲
//	              cursor (blocked)     cursor (behind)           cursors (caught up)
//
// One writer at a time appends, under the room's lock. Bytes below a segment's published length
// never change, so readers on other loops need no lock: they load the length and read up to it.
// There is no reference count: a segment lives while it is retained or a cursor stands in it or
// before it.
type track struct {
	encoding Encoding
	tail     *segment                // nil while nobody reads the track
	spare    *segment                // the next tail, made without the lock; nil when there is none yet
	leftover *segment                // what a tail had free when a large frame came: goes on behind that
	oldest   atomic.Pointer[segment] // first segment retained; cursors before it are overrun
	end      atomic.Int64            // position behind the last frame
	held     int64                   // bytes of memory from oldest to tail
	readers  int                     // members whose cursors stand in it
	grown    int                     // bytes of the last segment that was not made for one frame
	mean     int                     // bytes of a frame in it, about
}

// A segment is a stretch of a track: frames one behind the other, where each ends, and about when
// it was published. The arrays are allocated with it and never reallocated: growing one would move
// it under a reader. Two segments may share arrays, one behind the other in them, with a large
// frame between them:
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
	s.stamps = make([]time.Duration, (frames+stampEvery-1)/stampEvery)
	s.size = int64(len(s.data) + 4*len(s.ends) + 8*len(s.stamps))
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
// behind it: all that is to be allocated for the frame.
type ownSegment struct{ large, leftover segment }

func newOwnSegment(f *Frame, now time.Duration) *ownSegment {
	o := &ownSegment{}
	o.large.init(f.len(), 1)
	o.large.isOwn = true
	o.large.append(f, now)
	return o
}

// segmentSize is what a segment to be has room for; the zero value is none.
type segmentSize struct{ bytes, frames int }

func (z segmentSize) make() *segment { return newSegment(z.bytes, z.frames) }

func (t *track) isOpen() bool { return t.tail != nil }

// open begins the track anew where it ended. next is the number of its first frame to be.
func (t *track) open(next uint64) {
	// Quiet rooms are many: the first frame brings the first bytes.
	t.tail = &segment{base: t.end.Load(), first: next}
	t.oldest.Store(t.tail)
}

// close lets go of everything and returns how many bytes that was.
func (t *track) close() int64 {
	held := t.held
	t.tail, t.spare, t.leftover, t.held = nil, nil, nil, 0
	t.oldest.Store(nil)
	return held
}

// append adds one frame whose number is next, with a segment if need be, and reports whether it
// needed one and by how many bytes the track has grown for it.
func (t *track) append(f *Frame, next uint64, now time.Duration, largest int) (grew int64, isNew bool) {
	if isNew = !t.tail.hasRoom(f.len()); isNew {
		grew = t.extend(f.len(), next, largest)
	}
	t.tail.append(f, now)
	_, bytes := t.tail.load()
	t.end.Store(t.tail.base + int64(bytes-t.tail.skip))
	return grew, isNew
}

// appendOwn adds a large frame that lies in a segment already. What the tail has free does not
// count until the track goes on in it.
func (t *track) appendOwn(own *ownSegment, next uint64) (grew int64) {
	if tail := t.tail; !tail.isOwn {
		frames, bytes := tail.load()
		if free := len(tail.data) - int(bytes); free >= leftoverMin && int(frames) < len(tail.ends) {
			left := &own.leftover
			left.data, left.ends, left.stamps = tail.data, tail.ends, tail.stamps
			left.skip, left.skipped = bytes, frames
			left.publish(frames, bytes)
			left.size = int64(free + 4*(len(tail.ends)-int(frames)))
			tail.size -= left.size
			grew = -left.size
			t.held -= left.size
			t.leftover = left
		}
	}
	t.link(&own.large, next)
	t.end.Store(t.tail.base + int64(len(t.tail.data)))
	return grew + own.large.size
}

// extend starts a segment that has room for a frame of n bytes, whose number is next, and returns
// its size.
func (t *track) extend(n int, next uint64, largest int) int64 {
	var s *segment
	switch {
	case t.leftover != nil && t.leftover.hasRoom(n):
		s = t.leftover
	case t.spare != nil && len(t.spare.data) >= n:
		s, t.spare = t.spare, nil
		t.grown = len(s.data)
	default:
		s = t.nextSize(n, largest).make()
		t.grown = len(s.data)
	}
	t.leftover = nil
	t.link(s, next)
	return s.size
}

// link makes s the tail. Storing next is the last thing that ever happens to the old tail.
func (t *track) link(s *segment, next uint64) {
	old := t.tail
	if frames, bytes := old.load(); !old.isOwn && frames > old.skipped {
		t.mean = max(2, int((bytes-old.skip)/(frames-old.skipped)))
	}
	s.base, s.first = t.end.Load(), next
	t.tail = s
	t.held += s.size
	old.next.Store(s)
}

func (t *track) dropOldest() int64 {
	oldest := t.oldest.Load()
	t.held -= oldest.size
	t.oldest.Store(oldest.next.Load())
	return oldest.size
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

// reclaim begins an empty segment and lets go of all others; it returns how many bytes that was.
func (t *track) reclaim(next uint64) int64 {
	if len(t.tail.data) == 0 {
		return 0
	}
	held := t.held
	t.link(&segment{}, next)
	t.oldest.Store(t.tail)
	t.held, t.spare, t.leftover, t.grown = 0, nil, nil, 0
	return held
}
