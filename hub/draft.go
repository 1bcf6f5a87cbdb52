package hub

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// A draft is a message on its way into a log: in the encodings that the room uses, as far as it can
// be had before the room's lock is taken.
type draft struct {
	has    uint8 // a bit for each encoding that frames has
	frames [tracksMax]Frame
	own    [tracksMax]*ownSegment // for large frames, which lie there already
	record *[]byte                // the head of the source's record, see release
}

// head is where the head of a frame lies that the log will take.
func (d *draft) head(e Encoding) []byte {
	if own := d.own[e]; own != nil {
		return own.large.data
	}
	return d.frames[e].Head
}

// size is that of the largest frame.
func (d *draft) size() (n int) {
	for set := d.has; set != 0; set &= set - 1 {
		n = max(n, d.frames[bits.TrailingZeros8(set)].len())
	}
	return n
}

// encode adds what the draft lacks of the wanted encodings, the source of a message that is kept
// before all others.
func (d *draft) encode(h *Hub, m Encoder, wanted uint8) {
	if wanted&^d.has&(1<<source) != 0 { // First, so that the encoder knows of it.
		d.frames[source] = d.encodeSource(m)
		d.has |= 1 << source
	}
	for set := wanted &^ d.has; set != 0; set = wanted &^ d.has { // A substitute may have come with another.
		e := Encoding(bits.TrailingZeros8(set))
		d.has |= 1 << e
		if d.frames[e] = m.Encode(e); d.frames[e].len() > 0 {
			continue
		}
		info := h.encodings[e]
		if !info.HasSubstitute {
			panic(fmt.Sprintf("hub: no frame in encoding %q, which has no substitute", info.Name))
		}
		if d.has&(1<<info.Substitute) == 0 {
			d.frames[info.Substitute] = m.Encode(info.Substitute)
			d.has |= 1 << info.Substitute
		}
		d.frames[e] = d.frames[info.Substitute]
	}
}

// substitute fills in for encodings that were opened meanwhile, and returns those that have to be
// encoded.
func (d *draft) substitute(h *Hub, open uint8) (lacking uint8) {
	lacking = open &^ d.has
	for set := lacking; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		if e == int(source) {
			continue
		}
		if info := h.encodings[e]; info.HasSubstitute && d.has&(1<<info.Substitute) != 0 {
			d.frames[e] = d.frames[info.Substitute]
			d.has |= 1 << e
			lacking &^= 1 << e
		}
	}
	return lacking
}

// ownSegments writes each large frame of the wanted encodings into a segment of its own.
func (d *draft) ownSegments(largeFrom int, wanted uint8, now time.Duration) {
	for set := wanted; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		if f := &d.frames[e]; f.len() >= largeFrom && d.own[e] == nil {
			d.own[e] = newOwnSegment(f, now)
		}
	}
}

// heads are of records on their way into logs.
var heads = sync.Pool{New: func() any { return new([]byte) }}

// encodeSource makes the message's record. Its head is the draft's until release.
func (d *draft) encodeSource(m Encoder) Frame {
	r, ok := m.(Recorder)
	if !ok {
		panic("hub: a message without a source is published into a room with history")
	}
	s := r.Source()
	d.record = heads.Get().(*[]byte)
	*d.record = s.appendHead((*d.record)[:0])
	return Frame{Head: *d.record, Payload: s.Payload}
}

// release gives back what the draft has of memory that others use again.
func (d *draft) release() {
	if d.record != nil {
		heads.Put(d.record)
		d.record = nil
	}
}
