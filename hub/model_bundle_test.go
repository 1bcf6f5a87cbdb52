package hub

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"pgregory.net/rapid"
)

// A pipe is a bundle's client in the model: what comes to it are its readers' frames, whose fifth
// byte after the head names the room.
type pipe struct {
	*client
	bundle   Bundle
	m        *model
	readers  []*listener // those too that have left
	read     int         // bytes of got that were parsed
	finished int
	restEnd  int // where a frame ends whose rest was kept and is in its room's account
}

// pipeReaders is a pipe as its readers' client.
type pipeReaders pipe

func (c *pipeReaders) Lagging(*Reader, bool)   {}
func (c *pipeReaders) Reset(*Reader, Position) {}
func (c *pipeReaders) Resume(r *Reader)        { (*pipe)(c).of(r).resumed++ }

func (c *pipeReaders) KeepRest(rest Rest) {
	if len(c.rest.Bytes()) > 0 {
		c.m.t.Fatal("two rests at a time")
	}
	c.rest = rest
	(*pipe)(c).noteRest()
}

// Rejoined tells exactly what the reader has missed.
func (c *pipeReaders) Rejoined(r *Reader, missed uint64, _ Position) {
	p := (*pipe)(c)
	p.look()
	l := p.of(r)
	if r.m.cursor.seq() != l.next+missed {
		c.m.t.Fatalf("before message %d, and %d missed, it goes on with %d", l.next, missed, r.m.cursor.seq())
	}
	l.next += missed
	c.m.missed += missed
}

func (p *pipe) Overrun(rest Rest) {
	if p.m.policy != Disconnect {
		p.m.t.Fatal("a connection is to end whose rooms keep members that are overrun")
	}
	p.look()
	p.client.Overrun(rest)
	p.noteRest()
}

func (p *pipe) Abort() {
	p.look()
	p.client.Abort()
	p.look()
}

// noteRest notes where the frame ends whose rest was just kept.
func (p *pipe) noteRest() {
	if p.rest.pin != nil && p.rest.pin.room != nil {
		p.restEnd = len(p.got) + len(p.rest.Bytes())
	}
}

// of is the reader's listener.
func (p *pipe) of(r *Reader) *listener {
	return p.readers[slices.IndexFunc(p.readers, func(l *listener) bool { return l.Member == &r.m })]
}

// inFlight is how many bytes of the pipe's are handed, which the transport has or is to have.
func (p *pipe) inFlight() (n int) {
	for r := p.bundle.front; r != nil; r = r.next {
		n += int(r.offer)
	}
	return n
}

// take takes what its socket has room for of a delivery. The rest of it does not come any more to
// those that have left.
func (p *pipe) take(b []byte) (n int) {
	n = p.client.take(b)
	for _, l := range p.readers {
		if l.isGone {
			l.upTo = min(l.upTo, len(p.got))
		}
	}
	return n
}

// look takes the whole frames that came to the readers they are for.
func (p *pipe) look() {
	for {
		f := p.got[p.read:]
		if len(f) < frameHead || len(f) < int(binary.BigEndian.Uint32(f)) {
			break
		}
		f = f[:binary.BigEndian.Uint32(f)]
		l := p.readerAt(string(f[frameHead:frameHead+1]), p.read)
		p.read += len(f)
		l.takeFrame(f, !l.isGone || p.read <= l.goneAt || p.read == p.restEnd)
	}
	for _, l := range p.readers {
		if !l.isGone && !l.IsIn() {
			l.isGone, l.goneAt = true, len(p.got)
			l.upTo = l.goneAt + p.inFlight()
		}
	}
}

// readerAt is the listener for whom the frame is that begins there.
func (p *pipe) readerAt(room string, at int) *listener {
	for _, l := range p.readers {
		if l.story.room.name == room && (!l.isGone || at < l.upTo) {
			return l
		}
	}
	p.m.t.Fatalf("a frame of room %s comes to a client that is not in it", room)
	return nil
}

// takeFrame holds a frame to the story. It is not in the account if its reader had left before.
func (l *listener) takeFrame(f []byte, isCounted bool) {
	t, seq := l.m.t, uint64(binary.BigEndian.Uint32(f[4:]))
	switch {
	case seq != l.next:
		t.Fatalf("message %d of room %s came in place of %d", seq, l.story.room.name, l.next)
	case l.isHeld:
		t.Fatal("a reader gets something that is held")
	case !bytes.Equal(f, l.story.frames[seq-1][Bundled]):
		t.Fatalf("message %d came with other bytes", seq)
	}
	if l.next++; isCounted {
		l.story.got++
	}
}

// socket is what stalls and takes bytes again for the listener.
func (l *listener) socket() *client {
	if l.pipe != nil {
		return l.pipe.client
	}
	return l.client
}

func (m *model) newPipe(fan int) *pipe {
	p := &pipe{client: &client{now: &m.now, room: -1}, m: m}
	m.fans[fan].JoinBundle(&p.bundle, &p.client.Member, Bundled, p, (*pipeReaders)(p))
	m.pipes = append(m.pipes, p)
	return p
}

// join joins a room as one of the pipe's readers, unless it would take a build.
func (p *pipe) join(room string, start Start) {
	r, m := new(Reader), p.m
	p.look()
	j, err := p.bundle.Join(m.now, room, start, r)
	if err == ErrNotBuilt {
		m.beginBuild(room, Bundled)
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	l := m.followAs(&r.m, &client{now: &m.now}, room, Bundled, false)
	l.pipe = p
	p.readers = append(p.readers, l)
	m.holdToStory(l, start, j)
	l.isHeld = start.IsHeld
}

// isReading reports whether one of the pipe's readers is in that room.
func (p *pipe) isReading(room string) bool {
	return slices.ContainsFunc(p.readers, func(l *listener) bool { return l.IsIn() && l.Room().name == room })
}

// addBundles adds what is done to bundles.
func (m *model) addBundles(all map[string]func(*rapid.T)) {
	joinSome := func(t *rapid.T) {
		in := slices.DeleteFunc(slices.Clone(m.pipes), func(p *pipe) bool { return !p.IsIn() || p.bundle.isFinishing })
		if len(in) == 0 || len(in) < 5 && rapid.IntRange(0, 2).Draw(t, "new") == 0 {
			in = []*pipe{m.newPipe(rapid.IntRange(0, 1).Draw(t, "loop"))}
		}
		p := rapid.SampledFrom(in).Draw(t, "bundle")
		room := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "room")
		if len(m.all) < 80 && !p.isReading(room) {
			start := Start{}
			if rapid.Bool().Draw(t, "behind") {
				start = m.anyStart(t, room)
			}
			p.join(room, start)
		}
	}
	all["join in a bundle"], all["join more in a bundle"] = joinSome, joinSome
	all["release a reader"] = func(t *rapid.T) {
		for _, l := range m.all {
			if l.isHeld && l.pipe != nil && rapid.Bool().Draw(t, "it") {
				l.release()
			}
		}
	}
	all["finish a bundle"] = func(t *rapid.T) {
		if len(m.pipes) == 0 || rapid.IntRange(0, 3).Draw(t, "it") > 0 {
			return
		}
		if p := rapid.SampledFrom(m.pipes).Draw(t, "bundle"); p.IsIn() {
			p.finish(rapid.Bool().Draw(t, "at once"))
		}
	}
	all["end a bundle"] = func(t *rapid.T) {
		if len(m.pipes) > 0 && rapid.IntRange(0, 5).Draw(t, "it") == 0 {
			rapid.SampledFrom(m.pipes).Draw(t, "bundle").end()
		}
	}
}

// release lets a reader have what it joined for.
func (l *listener) release() {
	l.isHeld = false
	readerOf(l.Member).Ready()
}

// finish makes the readers get what there is, or only the rest of a frame.
func (p *pipe) finish(isAtOnce bool) {
	p.look()
	for _, l := range p.readers {
		l.isHeld = false // Its reply has to be sent by now.
		l.leaveLine()    // It publishes no more.
	}
	if isAtOnce {
		p.Finish(math.MinInt64)
	} else {
		p.Finish(math.MaxInt64)
	}
	p.look()
}

// Finished says that all has come that was to.
func (p *pipe) Finished() {
	p.look()
	for _, l := range p.readers {
		if l.IsIn() {
			p.m.t.Fatal("a client is told that it has all, and is in a room")
		}
	}
	if p.read != len(p.got) {
		p.m.t.Fatal("a client is told that it has all, and is in the middle of a frame")
	}
	p.finished++
	p.Leave()
}

func (p *pipe) end() {
	p.look()
	p.rest.Release()
	p.Leave()
	p.look()
}

// checkPipes holds what bundles know of their readers to the readers.
func (m *model) checkPipes() {
	for _, p := range m.pipes {
		p.look()
		if p.IsIn() {
			m.checkPipe(p)
		}
	}
}

func (m *model) checkPipe(p *pipe) {
	k, waiting, overruns, in := &p.bundle, 0, 0, 0
	for r := k.front; r != nil; r = r.next {
		if waiting++; !r.isWaiting || r.next == nil && k.back != r || waiting > int(k.waiting) {
			m.t.Fatal("a bundle's rota is broken")
		}
		if isPart := waiting <= int(k.parts); (r.offer > 0) && !isPart || isPart && k.trunk.handed == 0 {
			m.t.Fatal("a reader has bytes with a transport that has none")
		}
	}
	for _, l := range p.readers {
		if !l.IsIn() {
			continue
		}
		in++
		r := readerOf(l.Member)
		if l.cursor.isOverrun() {
			overruns++
		}
		isStuck := r.isWaiting == r.isHeld
		if !l.IsBlocked() {
			isStuck = r.isWaiting != (r.m.handed != 0)
		}
		switch {
		case isStuck, r.isHeld != l.isHeld:
			m.t.Fatalf("a reader is %v, waits %v, is held %v", l.state, r.isWaiting, r.isHeld)
		case k.readers[r.index] != r || r.bundle != k:
			m.t.Fatal("a reader has another place in its bundle than it knows")
		case l.cursor.restOfFrame() > 0 && k.inFrame != r:
			m.t.Fatal("a reader is in the middle of a frame, and its connection is not")
		case k.trunk.IsBlocked() && k.trunk.handed == 0 && k.queued == 0 && r.isWaiting && !l.IsBlocked():
			m.t.Fatal("a round waits for a connection that is blocked")
		}
	}
	switch {
	case waiting != int(k.waiting) || overruns != int(k.overruns) || in != k.Len():
		m.t.Fatalf("%d of %d readers wait and %d are overrun, by the bundle's count %d of %d and %d", waiting, in, overruns, k.waiting, k.Len(), k.overruns)
	case k.inFrame != nil && k.inFrame.m.cursor.restOfFrame() == 0 && k.trunk.handed == 0:
		m.t.Fatal("a bundle is in the middle of a frame, and its reader is not")
	case k.waiting > 0 && !k.trunk.IsBlocked() && k.trunk.handed == 0 && k.queued == 0:
		m.t.Fatal("readers wait, and nobody serves their bundle")
	}
}
