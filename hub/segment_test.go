package hub

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// filler is frame i of a log, of this many bytes.
func filler(i, size int) []byte {
	p := make([]byte, size)
	for k := range p {
		p[k] = byte(i*31 + k)
	}
	return p
}

// memoryOf counts what a track's segments take, each array once.
func memoryOf(t *track) (bytes int64) {
	arrays := map[*byte]bool{}
	add := func(s *segment) {
		if s != nil && len(s.data) > 0 && !arrays[&s.data[0]] {
			arrays[&s.data[0]] = true
			bytes += footprint(len(s.data)) + footprint(4*len(s.ends)) + footprint(8*len(s.stamps))
		}
	}
	for s := t.first; s != nil; s = s.next.Load() {
		add(s)
	}
	add(t.leftover)
	add(t.spare)
	return bytes
}

// mustCount holds what the log counts to what there is. What a segment has free and nobody goes on
// in may count for longer than it lives.
func (l plainLog) mustCount(t *testing.T) {
	t.Helper()
	bytes := memoryOf(l.t)
	var sizes int64
	for s := l.t.first; s != nil; s = s.next.Load() {
		sizes += s.size
	}
	for _, s := range []*segment{l.t.leftover, l.t.spare} {
		if s != nil {
			sizes += s.size
		}
	}
	if l.held != l.t.held() || l.t.memory != sizes || l.t.memory < bytes {
		t.Fatalf("the log counts %d bytes, its track holds %d; it counts %d of memory, %d by its segments, and takes %d",
			l.held, l.t.held(), l.t.memory, sizes, bytes)
	}
}

// free is what is left where the next small frame goes: in the leftover or else in the tail.
func (l plainLog) free() int {
	s := l.t.tail
	if l.t.leftover != nil {
		s = l.t.leftover
	}
	_, bytes := s.load()
	return len(s.data) - int(bytes)
}

// fillTo appends small frames until the tail is a grown segment that is half full, and returns how
// many.
func (l plainLog) fillTo(t *testing.T, i int) int {
	t.Helper()
	for {
		l.append(nil, filler(i, 300))
		i++
		if _, n := l.t.tail.load(); len(l.t.tail.data) == l.largest && int(n) > l.largest/2 {
			return i
		}
	}
}

func TestFrameOfAnEighthOfASegmentLiesInItsOwn(t *testing.T) {
	l := newLog(1 << 20)
	l.fillTo(t, 0)
	if l.largest != 64<<10 || l.largeFrom() != 8<<10 {
		t.Fatalf("segments of %d bytes, large from %d", l.largest, l.largeFrom())
	}
	for i, size := range []int{l.largeFrom() - 1, l.largeFrom(), l.largeFrom() + 1, l.largest - 1, l.largest, l.largest + 1, 5 * l.largest} {
		l.append(nil, filler(i, size))
		if isOwn := size >= l.largeFrom(); l.t.tail.isOwn != isOwn || isOwn && len(l.t.tail.data) != size {
			t.Errorf("%d bytes: in a segment of its own %v, of %d bytes", size, l.t.tail.isOwn, len(l.t.tail.data))
		}
		l.mustCount(t)
	}
}

// The memory for a large frame is fetched, and the frame is copied, before the room is locked.
func TestLargeFrameIsWrittenBeforeTheLock(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	for range 100 {
		a.say(nil, make([]byte, 1000))
	}
	f.flush()
	const runs = 50
	drafts := make([]draft, 0, runs+1)
	for range runs + 1 {
		d := draft{has: 1 << Plain}
		d.frames[Plain] = Frame{Payload: make([]byte, 100_000)}
		d.ownSegments(a.Room().log.largeFrom(), 1<<Plain, 0)
		if d.own[Plain] == nil || !bytes.Equal(d.own[Plain].large.data, d.frames[Plain].Payload) {
			t.Fatal("it has not been written")
		}
		drafts = append(drafts, d)
	}
	next := 0
	if n := testing.AllocsPerRun(runs, func() {
		a.Room().append(f.fans[0], 0, &drafts[next])
		next++
	}); n != 0 {
		t.Errorf("%v allocations with the room locked", n)
	}
}

// What the segment before a large frame has left is gone on with behind it, and the arrays of both
// count once.
func TestLeftoverIsGoneOnWithAndItsArraysCountOnce(t *testing.T) {
	l := newLog(1 << 20)
	i := l.fillTo(t, 0)
	before, memory := l.t.tail, l.t.memory
	large := filler(i, 20_000)
	l.append(nil, large)
	l.mustCount(t)
	if l.t.leftover == nil || l.t.memory != memory+l.t.tail.size {
		t.Fatalf("the log takes %d bytes, %d before a frame of %d bytes", l.t.memory, memory, len(large))
	}
	l.append(nil, filler(i+1, 30_000)) // Another one leaves the leftover as it is.
	l.mustCount(t)
	if l.t.leftover == nil {
		t.Fatal("the leftover is forgotten behind a second large frame")
	}
	memory = l.t.memory
	l.append(nil, filler(i+2, 300))
	l.mustCount(t)
	if tail := l.t.tail; &tail.data[0] != &before.data[0] || l.t.leftover != nil || tail.isOwn {
		t.Fatal("a small frame behind the large ones does not lie in what was left")
	}
	if l.t.memory != memory || before.size != 0 {
		t.Errorf("the log takes %d bytes, %d before it went on in what was left; the older part counts for %d", l.t.memory, memory, before.size)
	}

	// One byte more than there is goes into a new segment; exactly what there is does not.
	for _, more := range []int{0, 1} {
		l.append(nil, filler(0, l.largeFrom()))
		for l.free() > 5000 {
			l.append(nil, filler(0, 300))
		}
		l.append(nil, filler(0, l.largeFrom()))
		array := &l.t.leftover.data[0]
		l.append(nil, filler(0, l.free()+more))
		if isSame := &l.t.tail.data[0] == array; isSame != (more == 0) {
			t.Errorf("%d bytes too many: in what was left %v", more, isSame)
		}
		l.mustCount(t)
		l.fillTo(t, 0)
	}
}

// sizesFor are sizes of frames around every edge that a log of such segments has.
func sizesFor(l plainLog, random *rand.Rand) int {
	edges := []int{1, 2, leftoverMin, l.largeFrom(), l.largest}
	switch n := random.IntN(10); {
	case n < 4:
		return 1 + random.IntN(200)
	case n < 7:
		return max(1, edges[random.IntN(len(edges))]+random.IntN(3)-1)
	case n < 8:
		return l.largeFrom() + random.IntN(3*l.largest)
	default: // Exactly what is left, or one byte more or less or a little.
		return max(1, l.free()-[]int{-1, 0, 1, leftoverMin - 1, leftoverMin, leftoverMin + 1}[random.IntN(6)])
	}
}

// Cursors at every offset of a stream of all sizes know where they are.
func TestCursorKnowsWhereItIsAmongLargeFrames(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		l := newLog(16 << 10) // Segments of 1 KiB, large from 128 bytes on.
		c := l.t.atEnd()
		l.backlog = 1 << 40
		starts, stream := []int{0}, []byte(nil)
		for i := range 150 {
			p := filler(i, sizesFor(l, random))
			l.append(p[:1], p[1:])
			stream = append(stream, p...)
			starts = append(starts, len(stream))
			l.mustCount(t)

			newest := l.t.atNewest()
			if got := read(&newest, 1<<20); !bytes.Equal(got, p) {
				t.Fatalf("seed %d: the newest of %d frames is %d bytes that are not those of its %d", seed, i+1, len(got), len(p))
			}
		}
		frame := 0
		for at := 0; ; {
			pending := c.settle()
			for k := range len(pending) + 1 {
				one := c
				completed := one.advance(k)
				if at+k == len(stream) {
					frame = len(starts) - 1
				}
				for frame+1 < len(starts) && starts[frame+1] <= at+k {
					frame++
				}
				rest := 0
				if starts[frame] < at+k {
					rest = starts[frame+1] - at - k
				}
				if one.position() != int64(at+k) || one.seq() != uint64(frame+1) || one.restOfFrame() != rest {
					t.Fatalf("seed %d, offset %d: position %d, frame %d, %d bytes left; want frame %d and %d", seed, at+k, one.position(), one.seq(), one.restOfFrame(), frame+1, rest)
				}
				if first := c.seq(); completed != int(one.seq()-first) {
					t.Fatalf("seed %d, offset %d: %d frames completed, want %d", seed, at+k, completed, one.seq()-first)
				}
			}
			if len(pending) == 0 {
				break
			}
			if !bytes.Equal(pending, stream[at:at+len(pending)]) {
				t.Fatalf("seed %d: other bytes from %d on", seed, at)
			}
			at += len(pending)
			c.advance(len(pending))
		}
		if c.position() != int64(len(stream)) {
			t.Fatalf("seed %d: the stream ends at %d, want %d", seed, c.position(), len(stream))
		}
	}
}

// One writer and three readers: every byte of frames of all sizes, while segments are dropped
// behind the slow ones, the log is given back now and then, and spares are made. With -race it
// shows that a leftover is written to only where no reader of the segment before it looks.
func TestReadersMissNothingAmongLargeFrames(t *testing.T) {
	const frames = 3000
	l := newLog(32 << 10) // Segments of 2 KiB, large from 256 bytes on.
	random := rand.New(rand.NewPCG(1, 1))
	var lengths sync.Map // by number
	var readers sync.WaitGroup
	for id := range 3 {
		c := l.t.atEnd()
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(id), 7))
			number, offset, length := 1, 0, 0
			for number <= frames {
				p := c.settle()
				if len(p) == 0 {
					runtime.Gosched()
					continue
				}
				p = p[:1+random.IntN(len(p))]
				for _, b := range p {
					if b != byte(number*31+offset) {
						t.Errorf("reader %d: frame %d, byte %d is %d", id, number, offset, b)
						return
					}
					if offset == 0 {
						size, _ := lengths.Load(number)
						length = size.(int)
					}
					if offset++; offset == length {
						number, offset = number+1, 0
					}
				}
				c.advance(len(p))
				if rest := c.restOfFrame(); c.seq() != uint64(number) || offset > 0 && rest != length-offset || offset == 0 && rest != 0 {
					t.Errorf("reader %d: at frame %d of byte %d, says %d and %d bytes left", id, number, offset, c.seq(), rest)
					return
				}
			}
		})
	}
	dropped := 0
	for i := 1; i <= frames; i++ {
		p := filler(i, sizesFor(l, random))
		lengths.Store(i, len(p))
		if size := l.t.needsSpare(l.largest); size != (segmentSize{}) && random.IntN(2) == 0 {
			l.t.spare = size.make()
			l.t.memory += l.t.spare.size
		}
		before := l.t.oldest.Load()
		l.append(p[:1], p[1:])
		if l.t.oldest.Load() != before {
			dropped++
		}
		l.mustCount(t)
		if o := l.t.oldest.Load(); o != l.t.tail && l.held-(o.next.Load().base-o.base) >= l.backlog {
			t.Fatalf("the log holds %d bytes, and could drop some to hold %d", l.held, l.backlog)
		}
		l.t.forget(l.t.end.Load()) // Or all of it would be walked through for each frame.
		oldest := l.t.atOldest()
		if got := oldest.settle(); len(got) == 0 || got[0] != byte(oldest.seq()*31) || oldest.restOfFrame() != 0 {
			t.Fatalf("what is retained does not begin with a frame's first byte behind message %d", i)
		}
		if random.IntN(500) == 0 {
			l.retire()
			l.t.forget(l.t.end.Load())
			if l.held != 0 || l.t.leftover != nil || l.t.spare != nil || l.t.memory != 0 {
				t.Fatalf("a log that was given back holds %d bytes, and takes %d", l.held, l.t.memory)
			}
		}
	}
	readers.Wait()
	if dropped < frames/100 {
		t.Errorf("segments were dropped %d times", dropped)
	}
}

// N82: what counts against the backlog is what frames take, and nothing else: whatever their size,
// a client is overrun when it is a backlog behind, within a tenth. Relatives: tiny frames, whose
// ends take more than they do; frames that do not fit into what a segment has free; small backlogs,
// of sixteen segments; two tracks, of which each has its part; a backlog of a few of the largest
// frames, where a tenth is less than one.
func TestN82_BacklogHoldsItsSizeInFramesOfEverySize(t *testing.T) {
	for _, backlog := range []int64{1 << 20, 16 << 20} {
		for _, size := range []int{3, 4, 12, 100, 125, 1000, 4096, 7282, 10_000, 16_384, 20_000, 29_000, 29_128, 30_000, 32_767, 32_768, 40_000, 65_536, 65_550, 87_382, 100_000, 131_072, 131_080, 200_000, 262_140, 500_000, 1<<20 + 10} {
			if backlog == 1<<20 && size > 1<<16 {
				continue // A tenth is less than two frames.
			}
			if backlog == 16<<20 && size < 100 {
				continue // They are many, and it is the same.
			}
			t.Run(fmt.Sprintf("%d of %d", size, backlog), func(t *testing.T) {
				l := newLog(backlog)
				p := make([]byte, size)
				first, least, most := int64(0), int64(1<<62), int64(0)
				for range 3 * int(backlog) / size {
					before := l.t.oldest.Load()
					l.append(nil, p)
					if now := l.t.oldest.Load(); now != before && now.base > 0 {
						if first == 0 {
							first = l.t.end.Load()
						}
						least = min(least, l.t.end.Load()-now.base)  // A reader of the last frame before is overrun …
						most = max(most, l.t.end.Load()-before.base) // … and one that is to get the oldest one.
						l.t.forget(now.base)
					}
				}
				l.mustCount(t)
				of := func(n int64) float64 { return float64(n) / float64(backlog) }
				t.Logf("the first is overrun %.3f of a backlog behind, later ones between %.3f and %.3f", of(first), of(least), of(most))
				if lowest, highest := of(min(first, least)), of(max(first, most)); lowest < 0.9 || highest > 1.1 {
					t.Errorf("a client is overrun when it is %.3f to %.3f of the backlog behind", lowest, highest)
				}
			})
		}
	}
}

// A frame that does not fit into what the tail has free leaves no more than an eighth of a segment
// unused.
func TestN82_NoFrameWastesMoreThanAnEighthOfASegment(t *testing.T) {
	for _, size := range []int{1000, 16_384, 20_000, 29_128, 29_999, 32_767, 32_768, 65_550, 131_080, 262_140} {
		const backlog = 16 << 20
		l := newLog(backlog)
		p := make([]byte, size)
		for range 2 * backlog / size {
			l.append(nil, p)
			l.t.forget(l.t.end.Load())
		}
		l.mustCount(t)
		waste := float64(l.t.memory)/float64(l.held) - 1
		t.Logf("frames of %d bytes: %.3f of what they take is wasted", size, waste)
		if waste > 1./7+2.*segmentMax/backlog { // An eighth of the whole is a seventh of the rest; the tail and its spare.
			t.Errorf("frames of %d bytes waste %.3f", size, waste)
		}
	}
}

// What a segment has left, kept for later, keeps nothing else: neither the large frame that it was
// made with, nor all that follows it.
func TestN71_LeftoverKeepsNoLargeFrameAlive(t *testing.T) {
	const backlog, size, frames = 1 << 20, 100_000, 300
	l := newLog(backlog)
	before := liveHeap()
	l.append(nil, []byte("small"))
	for range frames {
		l.append(nil, make([]byte, size))
		l.t.forget(l.t.end.Load())
	}
	live := liveHeap() - before
	t.Logf("%d bytes are alive, %d are counted", live, l.t.memory)
	if live > 2*backlog {
		t.Errorf("%d bytes are alive after %d frames of %d bytes in a backlog of %d", live, frames, size, backlog)
	}
	runtime.KeepAlive(l)
}
