package hub

import "sync/atomic"

const (
	segmentMin     = 1 << 10
	segmentMax     = 256 << 10
	segmentsPerLog = 16 // a full backlog has about this many segments, so that it drops a sixteenth at a time
	frameMeanFirst = 64 // bytes; how many frame ends a log's first segment has room for
)

// A log is one room's stream of encoded frames, a chain of segments:
//
//	oldest ──▶ [ frames ]──next──▶ [ frames ]──next──▶ [ frames ···· free ] ◀── tail
//	              ▲                    ▲                         ▲
//	              cursor (blocked)     cursor (waiting)          cursors (even)
//
// One writer at a time appends, under the room's lock. Bytes below a segment's published length never change, so readers on
// other loops need no lock: they load the length and read up to it. There is no reference count: a segment lives while
// it is retained or a cursor stands in it or before it.
type log struct {
	tail    *segment
	oldest  atomic.Pointer[segment] // first segment retained; cursors before it are overtaken
	end     atomic.Int64            // position behind the last frame
	next    uint64                  // sequence number of the next frame
	held    int64                   // bytes of memory from oldest to tail
	backlog int64                   // bytes retained at least, once there were so many
	largest int                     // bytes of a grown segment
}

// A segment is a stretch of a log: frames one behind the other, and where each ends. Both arrays are allocated with it and
// never reallocated: growing one would move it under a reader.
type segment struct {
	data      []byte
	ends      []uint32      // by frame: offset behind it
	published atomic.Uint64 // frames in the high half, bytes in the low half: one load gives both
	next      atomic.Pointer[segment]
	base      int64  // position of data[0] in the room's stream
	first     uint64 // sequence number of the first frame
}

func (s *segment) load() (frames, bytes uint32) {
	word := s.published.Load()
	return uint32(word >> 32), uint32(word)
}

// size is what the segment costs in memory, near enough.
func (s *segment) size() int64 { return int64(len(s.data) + 4*len(s.ends)) }

func newSegment(bytes, frames int, base int64, first uint64) *segment {
	s := &segment{base: base, first: first}
	if bytes > 0 {
		s.data, s.ends = make([]byte, bytes), make([]uint32, frames)
	}
	return s
}

func (l *log) init(backlog int64) {
	l.backlog = backlog
	l.largest = int(min(segmentMax, max(segmentMin, backlog/segmentsPerLog)))
	l.next = 1
	l.tail = newSegment(0, 0, 0, l.next) // Quiet rooms are many: the first frame brings the first bytes.
	l.oldest.Store(l.tail)
}

// append adds one frame, given in two parts, and returns its sequence number. The caller holds the room's lock.
func (l *log) append(head, payload []byte) uint64 {
	n := len(head) + len(payload)
	frames, bytes := l.tail.load()
	if int(frames) == len(l.tail.ends) || int(bytes)+n > len(l.tail.data) {
		l.extend(n)
		frames, bytes = 0, 0
	}
	s := l.tail
	copy(s.data[bytes:], head)
	copy(s.data[int(bytes)+len(head):], payload)
	bytes += uint32(n)
	s.ends[frames] = bytes
	s.published.Store(uint64(frames+1)<<32 | uint64(bytes))
	l.end.Store(s.base + int64(bytes))
	l.next++
	return l.next - 1
}

// extend starts a segment that has room for a frame of n bytes, twice as large as the last one up to the limit, and drops
// what is beyond the backlog. A frame larger than a segment gets its own.
func (l *log) extend(n int) {
	frames, bytes := l.tail.load()
	mean := frameMeanFirst
	if frames > 0 {
		mean = max(2, int(bytes/frames))
	}
	room := max(n, min(max(2*len(l.tail.data), segmentMin), l.largest))
	l.link(newSegment(room, max(4, room/mean), l.end.Load(), l.next))
	for oldest := l.oldest.Load(); l.held-oldest.size() >= l.backlog && oldest != l.tail; oldest = l.oldest.Load() {
		l.held -= oldest.size()
		l.oldest.Store(oldest.next.Load())
	}
}

// link makes s the tail. Storing next is the last thing that ever happens to the old tail.
func (l *log) link(s *segment) {
	old := l.tail
	l.tail = s
	l.held += s.size()
	old.next.Store(s)
}

// rest lets go of all memory: cursors that are even move to an empty segment when they are next looked at. The caller
// holds the room's lock and knows that every cursor is even.
func (l *log) rest() {
	if len(l.tail.data) == 0 {
		return
	}
	l.link(newSegment(0, 0, l.end.Load(), l.next))
	l.oldest.Store(l.tail)
	l.held = 0
}
