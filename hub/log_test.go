package hub

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"sluice/internal/testenv"
)

var stressFrames = flag.Int("frames", 0, "frames in the log stress; 0: 400,000, with SLUICE_CI=1 2,000,000")

// read takes everything pending at c, in pieces of at most step bytes.
func read(c *cursor, step int) []byte {
	var all []byte
	for {
		p := c.settle()
		if len(p) == 0 {
			return all
		}
		p = p[:min(len(p), step)]
		all = append(all, p...)
		c.advance(len(p))
	}
}

// A plainLog is a log of one track.
type plainLog struct {
	*log
	t        *track
	isInline bool // even large frames lie among the others
}

func newLog(backlog int64) plainLog {
	l := new(log)
	l.init(backlog, nil)
	t, _ := l.enter(Plain)
	return plainLog{log: l, t: t}
}

func (l plainLog) append(head, payload []byte) uint64 {
	d := draft{has: 1 << Plain}
	d.frames[Plain] = Frame{Head: head, Payload: payload}
	if !l.isInline {
		d.ownSegments(l.largeFrom(), 1<<Plain, 0)
	}
	seq, _ := l.log.append(&d, 0)
	return seq
}

func TestLogGivesEveryCursorTheSameBytesInOrder(t *testing.T) {
	for _, step := range []int{1, 2, 3, 7, 64, 1 << 20} {
		l := newLog(1 << 20)
		c := l.t.atEnd()
		var want []byte
		for i := range 3000 {
			frame := bytes.Repeat([]byte{byte(i)}, 1+i%90)
			if seq := l.append(frame[:1], frame[1:]); seq != uint64(i+1) {
				t.Fatalf("frame %d has number %d", i, seq)
			}
			want = append(want, frame...)
		}
		if got := read(&c, step); !bytes.Equal(got, want) {
			t.Fatalf("step %d: read %d bytes, want %d, or they differ", step, len(got), len(want))
		}
		if c.position() != l.t.end.Load() || c.seq() != l.next {
			t.Errorf("step %d: cursor at %d, frame %d; log ends at %d, frame %d", step, c.position(), c.seq(), l.t.end.Load(), l.next)
		}
	}
}

func TestCursorKnowsFrameEdgesAtEveryOffset(t *testing.T) {
	l := newLog(1 << 20)
	sizes := []int{5, 1, 9, 2, 2, 30}
	start := l.t.atEnd()
	for _, n := range sizes {
		l.append(nil, make([]byte, n))
	}
	start.settle() // leaves the empty first segment
	total := 49
	for off := 0; off <= total; off++ {
		c := start
		frames := c.advance(off)
		wantFrames, edge, rest := 0, 0, 0
		for _, n := range sizes {
			if edge+n > off {
				if off > edge {
					rest = edge + n - off
				}
				break
			}
			edge += n
			wantFrames++
		}
		if frames != wantFrames || c.restOfFrame() != rest {
			t.Errorf("offset %d: %d frames, %d bytes of one left; want %d and %d", off, frames, c.restOfFrame(), wantFrames, rest)
		}
	}
}

func TestLogHoldsNoMoreThanBacklogAndASegment(t *testing.T) {
	for _, size := range []int{1, 3, 64, 1000, 40_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			const backlog = 1 << 20
			l := newLog(backlog)
			for i := range 3 * backlog / size {
				l.append(nil, make([]byte, size))
				if i%1000 == 0 {
					l.mustCount(t)
				}
				if bound := int64(backlog + 2*l.largest + size); l.held > bound {
					t.Fatalf("the log holds %d bytes, more than %d", l.held, bound)
				}
				l.t.forget(l.t.end.Load()) // No cursor stands anywhere.
				// Where a frame ends takes four bytes, and the tail and its successor are there
				// early.
				if bound := l.held + 9*(l.held/int64(size)) + int64(4*l.largest+2*size); l.t.memory > bound {
					t.Fatalf("the log takes %d bytes for %d, more than %d", l.t.memory, l.held, bound)
				}
			}
			if l.t.oldest.Load().base == 0 {
				t.Error("nothing was ever dropped")
			}
		})
	}
}

// The backlog is counted in memory, so the frames themselves are a little less: their ends and the
// free part of the tail count too.
func TestLogDropsNothingWithinItsBacklog(t *testing.T) {
	const backlog = 64 << 10
	l := newLog(backlog)
	for range 5000 {
		l.append(nil, make([]byte, 100))
		if dropped := l.t.oldest.Load().base; dropped > 0 && l.t.end.Load()-dropped < backlog*3/4 {
			t.Fatalf("only %d bytes are retained", l.t.end.Load()-dropped)
		}
	}
}

func TestLogGivesAFrameLargerThanASegmentItsOwn(t *testing.T) {
	l := newLog(1 << 20)
	c := l.t.atEnd()
	l.append(nil, []byte("before"))
	big := bytes.Repeat([]byte("x"), 500_000)
	l.append(nil, big)
	l.append(nil, []byte("after"))
	if got := read(&c, 4096); string(got) != "before"+string(big)+"after" {
		t.Fatalf("read %d bytes", len(got))
	}
}

func TestRestingLogHoldsNothingAndGoesOn(t *testing.T) {
	l := newLog(1 << 20)
	c := l.t.atEnd()
	l.append(nil, []byte("one"))
	read(&c, 100)
	l.retire()
	l.t.forget(l.t.end.Load())
	if l.held != 0 || l.t.memory != 0 {
		t.Errorf("an idle log holds %d bytes, and takes %d", l.held, l.t.memory)
	}
	if p := c.settle(); len(p) != 0 || c.seg != l.t.tail {
		t.Errorf("a cursor that is caught up has %q pending or did not move off the old segment", p)
	}
	if seq := l.append(nil, []byte("two")); seq != 2 {
		t.Errorf("numbers begin anew at %d", seq)
	}
	if got := read(&c, 100); string(got) != "two" {
		t.Errorf("read %q", got)
	}
}

// One writer and three readers over segments of four frames: every reader sees every frame, in
// order, whole. With -race it also shows that what is published is ordered before it is read.
func TestLogReadersMissNothingWhileItGrows(t *testing.T) {
	l := newLog(64)
	l.largest, l.isInline = 64, true // four frames of 16 bytes
	frames := *stressFrames
	if frames == 0 {
		if frames = 400_000; testenv.IsWholeSize(t) {
			frames = 2_000_000
		}
	}
	var readers sync.WaitGroup
	for id := range 3 {
		c := l.t.atEnd()
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 7))
			next, offset := 0, 0
			for next < frames {
				p := c.settle()
				if len(p) == 0 {
					continue
				}
				n := 1 + rng.IntN(len(p))
				for _, b := range p[:n] {
					if b != byte(next) {
						t.Errorf("reader %d: frame %d, byte %d is %d", id, next, offset, b)
						return
					}
					if offset++; offset == 16 {
						next, offset = next+1, 0
					}
				}
				c.advance(n)
			}
		})
	}
	frame := make([]byte, 16)
	for i := range frames {
		for j := range frame {
			frame[j] = byte(i)
		}
		l.append(frame[:3], frame[3:])
	}
	readers.Wait()
}
