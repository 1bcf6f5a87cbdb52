package hub

import (
	"context"
	"runtime"
)

const (
	// buildSlice is how many bytes of records are encoded before the room is asked what it has
	// dropped meanwhile, and before others have the processor.
	buildSlice = 64 << 10
)

// A build adds to a track what its room had kept when the track was opened.
//
//	source   [ records ················· | records ] ◀─ tail
//	chain    [ frames ·····▶              |              made of them here, without the lock
//	track                                 | frames ] ◀─ tail, open, and nobody may read it yet
//	                                      from
//
// So what is to be built does not grow with what is published. In the end the chain comes before
// the track's first segment, at positions below it. What the log drops meanwhile need not be built.
type build struct {
	room  *Room
	track *track
	epoch string   // of what is encoded
	first *segment // of the track: what comes behind the chain
	from  uint64   // number of its first message
	chain track
	at    cursor // in the source track: the next record

	reads  int64  // position of at, as others may see it under the lock
	memory int64  // of the chain, as the budget has it
	frames uint64 // that were made
	isDone bool   // the track has all that there is for it
}

// lacks reports whether messages are kept that an encoding does not have. The caller holds the
// lock.
func (l *log) lacks(e Encoding) bool {
	if l.history == nil {
		return false
	}
	if t := l.tracks[e]; t != nil && t.isOpen() {
		return t.building
	}
	return !l.isEmpty()
}

// Build encodes what the named room keeps for the first one who reads an encoding, if it has not
// been yet, and returns when that is done, or soon behind the end of ctx: nobody waits for it then.
// It is to be called by a goroutine that is no loop's; of several, one builds at a time.
func (h *Hub) Build(ctx context.Context, name string, e Encoding) {
	h.building.Lock()
	defer h.building.Unlock()
	r, ok := h.Room(name)
	if !ok || ctx.Err() != nil {
		return
	}
	b := r.beginBuild(e)
	if b == nil {
		return
	}
	defer b.end() // After a panic, too.
	for ctx.Err() == nil && b.goOn(buildSlice) {
		runtime.Gosched()
	}
}

// goOn encodes a slice of what is kept, or gives the chain its place when there is no more. It
// reports whether there was more.
func (b *build) goOn(most int) bool {
	h := b.room.hub
	if !b.next() {
		b.join()
		h.built.Add(1)
		h.builtFrames.Add(b.frames)
		return false
	}
	for bytes := 0; bytes < most && b.at.seq() < b.from; {
		bytes += b.encode()
	}
	b.account()
	h.fitFromOutside()
	return true
}

// beginBuild opens the track; nil says that there is nothing to build.
func (r *Room) beginBuild(e Encoding) *build {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed || !r.log.lacks(e) {
		return nil
	}
	t := r.log.open(e)
	t.building = true
	r.noteTracks()
	b := &build{room: r, track: t, first: t.tail, from: r.log.next}
	b.begin()
	r.log.history.building = &b.reads
	return b
}

// begin begins the chain at the first message that may be read. The source may have dropped what
// was published behind the track's beginning, too: then there is nothing to build. The caller holds
// the lock.
func (b *build) begin() {
	from, t := b.room.log.readFrom(), b.room.log.tracks[source]
	b.chain = track{encoding: b.track.encoding}
	b.chain.open(from)
	b.at = t.at(max(min(from, b.from), t.oldest.Load().first))
}

// next looks what the log has dropped, and reports whether there is more to encode.
func (b *build) next() bool {
	r := b.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed || b.track.oldest.Load() != b.first {
		return false // The track has dropped what the chain was to come before.
	}
	if b.at.seg.base < r.log.tracks[source].oldest.Load().base {
		b.begin() // All that was built is before what the log has.
	}
	b.reads, b.epoch = b.at.position(), r.log.history.epoch
	return b.at.seq() < b.from
}

// encode adds the next message to the chain, and returns how many bytes of records and frames that
// was.
func (b *build) encode() (bytes int) {
	b.at.settle()
	frame, at := b.at.frame, b.at.off
	r := record(b.at.seg.data[at:b.at.seg.ends[frame]])
	kept := r.read()
	e := b.track.encoding
	d := draft{}
	d.encode(b.room.hub, b.room.hub.restore(b.room.Name(), &kept), 1<<e)
	f := &d.frames[e]
	b.room.hub.encodings[e].put(f.Head, f.PositionAt, Position{b.epoch, kept.Offset})
	seq := b.at.seq()
	if largest := b.room.log.largest; f.len() >= b.room.log.largeFrom() {
		b.chain.appendOwn(newOwnSegment(f, r.at()), seq)
	} else {
		b.chain.append(f, seq, r.at(), largest)
	}
	b.frames++
	b.at.advance(len(r))
	b.at.settle()
	return len(r) + f.len()
}

// account tells the budget what the chain takes.
func (b *build) account() {
	b.room.budget().pin(b.chain.memory - b.memory)
	b.memory = b.chain.memory
}

// join puts the chain before the track, unless the log has dropped meanwhile what it is to come
// before.
func (b *build) join() {
	r := b.room
	r.mu.Lock()
	defer r.mu.Unlock()
	c, t := &b.chain, b.track
	if r.isClosed {
		return
	}
	if oldest := t.oldest.Load(); oldest != b.first {
		b.isDone = oldest.first <= r.log.readFrom() // Otherwise it is to be built anew.
		return
	}
	if b.isDone = true; c.end.Load() == 0 {
		return
	}
	c.abandonLeftover(c.tail)
	begins := b.first.base - c.end.Load()
	for s := c.oldest.Load(); s != nil; s = s.next.Load() {
		s.base += begins
	}
	c.tail.next.Store(b.first)
	t.first = c.first
	t.oldest.Store(c.first)
	t.memory += c.memory
	b.unpin() // It counts with the track now.
	r.log.held += c.end.Load()
	for oldest := r.log.tracks[source].oldest.Load().first; t.oldest.Load() != b.first && t.oldest.Load().next.Load().first <= oldest; {
		r.log.dropOldest(t)
	}
	t.forget(t.end.Load())
	r.noteMoved()
}

// end says that the track may be read, or that nobody builds it any more.
func (b *build) end() {
	r := b.room
	defer r.hub.fitFromOutside()
	r.mu.Lock()
	defer r.mu.Unlock()
	b.unpin()
	b.track.building = false
	r.log.history.building = nil
	if r.isClosed {
		return
	}
	if !b.isDone {
		r.log.shut(b.track)
	}
	r.noteTracks()
	r.noteMoved() // What it has read of is nobody's any more.
}

// unpin says that the chain is none of its own any more.
func (b *build) unpin() {
	b.room.budget().pin(-b.memory)
	b.memory = 0
}
