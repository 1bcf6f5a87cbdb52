package hub

import (
	"sync/atomic"
	"time"
)

const (
	segmentMin     = 1 << 10
	segmentMax     = 256 << 10
	segmentsPerLog = 16 // a full backlog has at least this many segments, so that it drops a sixteenth at a time at most
	spareMin       = 16 << 10
	frameMeanFirst = 64 // bytes; how many frame ends a track's first segment has room for
	stampEvery     = 16 // frames that share one time of publishing
)

// A track is one encoding of a log, a chain of segments:
//
//	oldest ──▶ [ frames ]──next──▶ [ frames ]──next──▶ [ frames ···· free ] ◀── tail
//	              ▲                    ▲                         ▲
//	              cursor (blocked)     cursor (waiting)          cursors (even)
//
// One writer at a time appends, under the room's lock. Bytes below a segment's published length never change, so readers on
// other loops need no lock: they load the length and read up to it. There is no reference count: a segment lives while
// it is retained or a cursor stands in it or before it.
type track struct {
	tail    *segment                // nil while nobody reads the track
	spare   *segment                // the next tail, made without the lock; nil when there is none yet
	oldest  atomic.Pointer[segment] // first segment retained; cursors before it are overtaken
	end     atomic.Int64            // position behind the last frame
	held    int64                   // bytes of memory from oldest to tail
	readers int                     // members whose cursors stand in it
}

// A segment is a stretch of a track: frames one behind the other, where each ends, and about when it was published. The arrays
// are allocated with it and never reallocated: growing one would move it under a reader.
type segment struct {
	data      []byte
	ends      []uint32        // by frame: offset behind it
	stamps    []time.Duration // by frame / stampEvery: when the first of the group was published
	published atomic.Uint64   // frames in the high half, bytes in the low half: one load gives both
	next      atomic.Pointer[segment]
	base      int64  // position of data[0] in the track
	first     uint64 // number of the first frame
}

func (s *segment) load() (frames, bytes uint32) {
	word := s.published.Load()
	return uint32(word >> 32), uint32(word)
}

// size is what the segment costs in memory, near enough.
func (s *segment) size() int64 { return int64(len(s.data) + 4*len(s.ends) + 8*len(s.stamps)) }

// newSegment returns a segment that has no place in a track yet.
func newSegment(bytes, frames int) *segment {
	return &segment{
		data:   make([]byte, bytes),
		ends:   make([]uint32, frames),
		stamps: make([]time.Duration, (frames+stampEvery-1)/stampEvery),
	}
}

// segmentSize is what a segment to be has room for; the zero value is none.
type segmentSize struct{ bytes, frames int }

func (z segmentSize) make() *segment { return newSegment(z.bytes, z.frames) }

func (t *track) isOpen() bool { return t.tail != nil }

// open begins the track anew where it ended. next is the number of its first frame to be.
func (t *track) open(next uint64) {
	t.tail = &segment{base: t.end.Load(), first: next} // Quiet rooms are many: the first frame brings the first bytes.
	t.oldest.Store(t.tail)
}

// close lets go of everything and returns how many bytes that was.
func (t *track) close() int64 {
	held := t.held
	t.tail, t.spare, t.held = nil, nil, 0
	t.oldest.Store(nil)
	return held
}

func (t *track) hasRoom(n int) bool {
	frames, bytes := t.tail.load()
	return int(frames) < len(t.tail.ends) && int(bytes)+n <= len(t.tail.data)
}

// append adds one frame, for which the tail has room.
func (t *track) append(f *Frame, now time.Duration) {
	s := t.tail
	frames, bytes := s.load()
	bytes += uint32(copy(s.data[bytes:], f.Head))
	bytes += uint32(copy(s.data[bytes:], f.Payload))
	s.ends[frames] = bytes
	if frames%stampEvery == 0 {
		s.stamps[frames/stampEvery] = now
	}
	s.published.Store(uint64(frames+1)<<32 | uint64(bytes))
	t.end.Store(s.base + int64(bytes))
}

// extend starts a segment that has room for a frame of n bytes, whose number is next, and returns its size. own is one made for
// that frame alone, or nil.
func (t *track) extend(n int, next uint64, largest int, own *segment) int64 {
	s := own
	switch {
	case s != nil && len(s.data) >= n:
	case t.spare != nil && len(t.spare.data) >= n:
		s, t.spare = t.spare, nil
	default:
		s = t.nextSize(n, largest).make()
	}
	t.link(s, next)
	return s.size()
}

// link makes s the tail. Storing next is the last thing that ever happens to the old tail.
func (t *track) link(s *segment, next uint64) {
	old := t.tail
	s.base, s.first = t.end.Load(), next
	t.tail = s
	t.held += s.size()
	old.next.Store(s)
}

func (t *track) dropOldest() int64 {
	oldest := t.oldest.Load()
	t.held -= oldest.size()
	t.oldest.Store(oldest.next.Load())
	return oldest.size()
}

// nextSize is that of the segment behind the tail: twice as large, up to the limit, and with room for n bytes and for frames
// such as the tail has.
func (t *track) nextSize(n, largest int) segmentSize {
	frames, bytes := t.tail.load()
	mean := frameMeanFirst
	if frames > 0 {
		mean = max(2, int(bytes/frames))
	}
	room := max(n, min(max(2*len(t.tail.data), segmentMin), largest))
	return segmentSize{room, max(4, room/mean)}
}

// wantsSpare tells the size of the spare to make, if it is time to: the tail is half full, and large enough for its successor
// to be worth a second turn of the lock.
func (t *track) wantsSpare(largest int) segmentSize {
	if !t.isOpen() || t.spare != nil || len(t.tail.data) < spareMin {
		return segmentSize{}
	}
	frames, bytes := t.tail.load()
	if isHalfFull := int(bytes) > len(t.tail.data)/2 || int(frames) > len(t.tail.ends)/2; !isHalfFull {
		return segmentSize{}
	}
	return t.nextSize(0, largest)
}

// rest begins an empty segment and lets go of all others; it returns how many bytes that was.
func (t *track) rest(next uint64) int64 {
	if len(t.tail.data) == 0 {
		return 0
	}
	held := t.held
	t.link(&segment{}, next)
	t.oldest.Store(t.tail)
	t.held, t.spare = 0, nil
	return held
}
