package hub

import "sync/atomic"

const (
	segmentMin     = 1 << 10
	segmentMax     = 256 << 10
	segmentsPerLog = 16 // a full backlog has at least this many segments, so that it drops a sixteenth at a time at most
	spareMin       = 16 << 10
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
	spare   *segment                // the next tail, made without the lock; nil when there is none yet
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

// newSegment returns a segment that has no place in a log yet.
func newSegment(bytes, frames int) *segment {
	s := &segment{}
	if bytes > 0 {
		s.data, s.ends = make([]byte, bytes), make([]uint32, frames)
	}
	return s
}

// segmentSize is what a segment to be has room for.
type segmentSize struct{ bytes, frames int }

func (z segmentSize) make() *segment { return newSegment(z.bytes, z.frames) }

func (l *log) init(backlog int64) {
	l.backlog = backlog
	l.largest = int(min(segmentMax, max(segmentMin, backlog/segmentsPerLog)))
	l.next = 1
	l.tail = &segment{first: l.next} // Quiet rooms are many: the first frame brings the first bytes.
	l.oldest.Store(l.tail)
}

// append adds one frame, given in two parts, and returns its sequence number. own is a segment for a frame that is larger
// than grown segments are, else nil. The caller holds the room's lock.
func (l *log) append(head, payload []byte, own *segment) uint64 {
	n := len(head) + len(payload)
	frames, bytes := l.tail.load()
	if int(frames) == len(l.tail.ends) || int(bytes)+n > len(l.tail.data) {
		l.extend(n, own)
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

// extend starts a segment that has room for a frame of n bytes, and drops what is beyond the backlog.
func (l *log) extend(n int, own *segment) {
	switch {
	case own != nil:
		l.link(own)
	case l.spare != nil && len(l.spare.data) >= n:
		l.link(l.spare)
		l.spare = nil
	default:
		l.link(l.nextSize(n).make())
	}
	for oldest := l.oldest.Load(); l.held-oldest.size() >= l.backlog && oldest != l.tail; oldest = l.oldest.Load() {
		l.held -= oldest.size()
		l.oldest.Store(oldest.next.Load())
	}
}

// nextSize is that of the segment behind the tail: twice as large, up to the limit, and with room for n bytes and for frames
// such as the tail has.
func (l *log) nextSize(n int) segmentSize {
	frames, bytes := l.tail.load()
	mean := frameMeanFirst
	if frames > 0 {
		mean = max(2, int(bytes/frames))
	}
	room := max(n, min(max(2*len(l.tail.data), segmentMin), l.largest))
	return segmentSize{room, max(4, room/mean)}
}

// wantsSpare tells the size of the spare to make, if it is time to: the tail is half full, and large enough for its successor
// to be worth a second turn of the lock.
func (l *log) wantsSpare() *segmentSize {
	frames, bytes := l.tail.load()
	isHalfFull := int(bytes) > len(l.tail.data)/2 || int(frames) > len(l.tail.ends)/2
	if l.spare != nil || len(l.tail.data) < spareMin || !isHalfFull {
		return nil
	}
	size := l.nextSize(0)
	return &size
}

// link makes s the tail. Storing next is the last thing that ever happens to the old tail.
func (l *log) link(s *segment) {
	old := l.tail
	s.base, s.first = l.end.Load(), l.next
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
	l.link(&segment{})
	l.oldest.Store(l.tail)
	l.held, l.spare = 0, nil
}
