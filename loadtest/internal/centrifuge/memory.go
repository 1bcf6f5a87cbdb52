package centrifuge

import (
	"bytes"
	"hash/maphash"
)

// A Memory reads publications, and knows those that it has read last. All clients of a room are
// sent the same bytes, and mostly in the same order: what comes to the first of them is read, and
// what comes to the others is compared with it.
//
// It belongs to one goroutine.
type Memory struct {
	format Format
	seed   maphash.Seed
	last   *Heard              // the object before this one
	places [placesMax][2]Heard // by hash: a new object comes first, in the older one's place
	long   Heard               // is not remembered
}

// A Heard is an object, and what it says if it is a publication.
type Heard struct {
	Room   []byte
	Text   []byte // what its data is a string of, and the data itself where it is something else
	Offset uint64 // zero where the room counts none

	object        []byte // as it came
	isPublication bool
	next          *Heard // came behind it when it last came, and mostly does again; may be nil
}

const (
	// placesMax is many times what a room mostly has on its way, so that three of its messages
	// seldom want the same place.
	placesMax = 256
	// objectMax is the longest object in bytes that is remembered, so that a Memory holds 2 MiB at
	// most.
	objectMax = 4 << 10
)

// NewMemory is one of publications in this format, which knows none yet.
func NewMemory(f Format) *Memory {
	m := &Memory{format: f, seed: maphash.MakeSeed()}
	m.last = &m.long
	return m
}

// Publication reads a push of a publication as Format.ParsePublication does, and is nil for what is
// none to that. The result is valid until the next call and not to be changed.
func (m *Memory) Publication(object []byte) *Heard {
	if len(object) > objectMax {
		m.long.read(m.format, object)
		return m.long.publication()
	}
	h := m.last.next
	if h == nil || !bytes.Equal(h.object, object) {
		h = m.find(object)
		m.last.next = h
	}
	m.last = h
	return h.publication()
}

// publication is h if it is one, and nil otherwise.
func (h *Heard) publication() *Heard {
	if !h.isPublication {
		return nil
	}
	return h
}

// find is the place of an object, which is read if it is not there.
func (m *Memory) find(object []byte) *Heard {
	place := &m.places[maphash.Bytes(m.seed, object)%placesMax]
	for i := range place {
		if h := &place[i]; bytes.Equal(h.object, object) {
			return h
		}
	}
	place[0], place[1] = place[1], place[0]
	h := &place[0]
	h.object = append(h.object[:0], object...)
	h.read(m.format, h.object)
	return h
}

// read makes h say what an object does, of which it has parts from then on.
func (h *Heard) read(f Format, object []byte) {
	var p Publication
	h.Room, p, h.isPublication = f.ParsePublication(object)
	h.Text, h.Offset = Text(p.Data), p.Offset
}
