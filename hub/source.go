package hub

import (
	"encoding/binary"
	"time"
)

// A Source is a message as it came, from which its frames in all encodings can be made anew.
type Source struct {
	Kind    byte // of the payload, or of the message: the hub does not look at it
	Payload []byte
	Sender  string
	ID      string
	Time    int64 // when it came, in nanoseconds since 1970: the hub does not look at it
	// Offset is what the message is to have within the room's epoch: more than any before it. Zero
	// is the next one.
	Offset uint64
	// HasNoOffset says that it has none of its own, as those have that tell of clients which come
	// and go. Offset is then that of the last message before it that has one.
	HasNoOffset bool
}

// A Recorder is an Encoder of a message that a room with history can keep. Every Encoder that is
// published there has to be one.
type Recorder interface {
	Encoder
	// Source returns the message. It is called once in a room with history, before any Encode, and
	// never in another; without any lock. What it refers to must stay as it is until Publish
	// returns.
	Source() Source
}

// A Record is a message that a room keeps. Its bytes must not be changed.
type Record struct{ Source }

// source is the encoding in which a room with history keeps its messages: a track like any other.
// A record of it is
//
//	offset 8 · clock of its loop 8 · time 8 · kind 1 · flags 1 · length of sender 4 · of id 4 ·
//	sender · id · payload
const source Encoding = EncodingsMax

type record []byte

const (
	recordAt     = 8 // where the clock stands
	recordTime   = 16
	recordKind   = 24
	recordFlags  = 25
	recordSender = 26
	recordID     = 30
	recordHead   = 34

	flagAbsent = 1 // it has no offset of its own
)

func (s *Source) appendHead(p []byte) []byte {
	var head [recordHead]byte
	if !s.HasNoOffset {
		binary.BigEndian.PutUint64(head[:], s.Offset)
	} else {
		head[recordFlags] = flagAbsent
	}
	binary.BigEndian.PutUint64(head[recordTime:], uint64(s.Time))
	head[recordKind] = s.Kind
	binary.BigEndian.PutUint32(head[recordSender:], uint32(len(s.Sender)))
	binary.BigEndian.PutUint32(head[recordID:], uint32(len(s.ID)))
	p = append(p, head[:]...)
	p = append(p, s.Sender...)
	return append(p, s.ID...)
}

// place writes what is known only under the room's lock.
func (r record) place(offset uint64, now time.Duration) {
	binary.BigEndian.PutUint64(r, offset)
	binary.BigEndian.PutUint64(r[recordAt:], uint64(now))
}

func (r record) mark() mark {
	return mark{binary.BigEndian.Uint64(r), r[recordFlags]&flagAbsent != 0}
}

// at is when it was published, by its publisher's loop.
func (r record) at() time.Duration { return time.Duration(binary.BigEndian.Uint64(r[recordAt:])) }

// read returns the record for others, its payload in place.
func (r record) read() Record {
	k := r.mark()
	s := Source{Kind: r[recordKind], Offset: k.offset, HasNoOffset: k.isAbsent}
	s.Time = int64(binary.BigEndian.Uint64(r[recordTime:]))
	sender := recordHead + int(binary.BigEndian.Uint32(r[recordSender:]))
	id := sender + int(binary.BigEndian.Uint32(r[recordID:]))
	s.Sender, s.ID, s.Payload = string(r[recordHead:sender]), string(r[sender:id]), r[id:]
	return Record{s}
}

// record is the record at an index of the source track's segment.
func (s *segment) record(frame uint32) record {
	c := cursor{seg: s, frame: frame}
	return record(s.data[c.frameStart():s.ends[frame]])
}
