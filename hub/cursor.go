package hub

import (
	"sort"
	"time"
)

// A cursor is where one client stands in a track. It belongs to the client's loop.
//
// One without a segment is overrun: it stands nowhere, so that it keeps nothing alive. Its off and
// frame together are the number of the first frame that the client has yet to get or to miss.
type cursor struct {
	seg   *segment
	off   uint32 // offset in seg of the next byte to send
	frame uint32 // index in seg of the frame that byte belongs to
}

// overrunBefore returns a cursor that is overrun before the frame with this number.
func overrunBefore(seq uint64) cursor { return cursor{off: uint32(seq), frame: uint32(seq >> 32)} }

func (c *cursor) isOverrun() bool { return c.seg == nil }

// start is a cursor before its first frame.
func (s *segment) start() cursor { return cursor{seg: s, off: s.skip, frame: s.skipped} }

// atOldest returns a cursor before the first frame retained. Any loop whose member reads the track
// may ask.
func (t *track) atOldest() cursor { return t.oldest.Load().start() }

// atEnd returns a cursor behind the last frame. The caller holds the room's lock.
func (t *track) atEnd() cursor {
	frames, bytes := t.tail.load()
	return cursor{seg: t.tail, off: bytes, frame: frames}
}

// atNewest returns a cursor before the last frame. The caller holds the room's lock.
func (t *track) atNewest() cursor {
	c := t.atEnd()
	if c.frame > c.seg.skipped {
		c.frame--
		c.off = c.frameStart()
	}
	return c
}

// at returns a cursor before the frame of that number, which is retained or the next. The caller
// holds the room's lock.
func (t *track) at(seq uint64) cursor {
	s := t.oldest.Load()
	if t.tail.first <= seq { // Most ask for the end.
		s = t.tail
	}
	for next := s.next.Load(); next != nil && next.first <= seq; next = s.next.Load() {
		s = next
	}
	c := cursor{seg: s, frame: s.skipped + uint32(seq-s.first)}
	c.off = c.frameStart()
	return c
}

// settle moves the cursor, which is not overrun, off segments that it has finished with, and
// returns the contiguous bytes between it and the track's tail, or up to the end of its segment;
// empty means caught up. The bytes never change.
func (c *cursor) settle() (pending []byte) {
	for {
		_, bytes := c.seg.load()
		if c.off < bytes {
			return c.seg.data[c.off:bytes]
		}
		next := c.seg.next.Load()
		if next == nil {
			return nil
		}
		// The segment is complete now that next is set, but it may have grown since its length was
		// loaded above: look again, or the frames between are skipped silently.
		if _, bytes = c.seg.load(); c.off < bytes {
			return c.seg.data[c.off:bytes]
		}
		*c = next.start()
	}
}

// advance moves the cursor n bytes on, within what settle returned, and reports how many frames
// that completed.
func (c *cursor) advance(n int) (frames int) {
	was := c.frame
	c.off += uint32(n)
	published, bytes := c.seg.load()
	if c.off == bytes {
		c.frame = published
	} else {
		open := c.seg.ends[c.frame:published]
		c.frame += uint32(sort.Search(len(open), func(i int) bool { return open[i] > c.off }))
	}
	return int(c.frame - was)
}

// restOfFrame is the number of bytes left of a frame that is partly sent, zero between frames and
// overrun.
func (c *cursor) restOfFrame() int {
	if c.isOverrun() || c.off == c.frameStart() {
		return 0
	}
	return int(c.seg.ends[c.frame] - c.off)
}

// covering is how many bytes the frames take that have any of the next n.
func (c *cursor) covering(n int) int {
	published, bytes := c.seg.load()
	open := c.seg.ends[c.frame:published]
	i := sort.Search(len(open), func(i int) bool { return int(open[i]-c.off) >= n })
	if i == len(open) {
		return int(bytes - c.off)
	}
	return int(open[i] - c.off)
}

// whole is how many bytes the frames take that end within the next n.
func (c *cursor) whole(n int) int {
	published, _ := c.seg.load()
	open := c.seg.ends[c.frame:published]
	i := sort.Search(len(open), func(i int) bool { return int(open[i]-c.off) > n })
	if i == 0 {
		return 0
	}
	return int(open[i-1] - c.off)
}

// copyOfFrame is the whole frame that is partly sent, on its own: of a large one, which has a
// segment of its own, no copy.
func (c *cursor) copyOfFrame() []byte {
	frame := c.seg.data[c.frameStart():c.seg.ends[c.frame]]
	if !c.seg.isOwn {
		frame = append([]byte(nil), frame...) // Or it would keep the whole segment.
	}
	return frame
}

func (c *cursor) frameStart() uint32 {
	if c.frame == c.seg.skipped {
		return c.seg.skip
	}
	return c.seg.ends[c.frame-1]
}

// position is the offset of the next byte in the track.
func (c *cursor) position() int64 { return c.seg.base + int64(c.off-c.seg.skip) }

// seq is the number of the frame that the next byte belongs to.
func (c *cursor) seq() uint64 {
	if c.isOverrun() {
		return uint64(c.frame)<<32 | uint64(c.off)
	}
	return c.seg.first + uint64(c.frame-c.seg.skipped)
}

// stamp is about when the frame that the next byte belongs to was published: when the first of its
// group was. The cursor is not caught up.
func (c *cursor) stamp() time.Duration { return c.seg.stamps[c.frame/stampEvery] }
