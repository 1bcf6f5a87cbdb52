package cluster

import (
	"time"

	"sluice/hub"
)

// A filling is what was fetched so far of a room that is being opened.
type filling struct {
	kept      []hub.Source
	keptBytes int64
	before    uint64 // the offset behind which kept is whole
	begun     opened // how the room stood when this began; of the leader
	hasBegun  bool
	whole     uint64 // as before, unless the room has had more packs than are kept; zero: not known
	last      uint64 // sequence of the message that was fetched last, and its id
	lastID    string
	packs     int      // that were fetched
	quarters  quarters // of those
	isCut     bool     // at the room's limits
}

// An opened is what a task found out about a room that is being opened.
type opened struct {
	askedAt time.Duration
	state   State
	tail    Stored // Seq zero: none
	kept    []Stored
	hasMore bool
	isAll   bool // kept is all of the room that the stream keeps
	err     error
}

// cut drops the oldest of what the room is filled with beyond its limits.
func (f *filling) cut(limits hub.History, bytesMax int64) {
	if limits.Bytes > 0 {
		bytesMax = min(bytesMax, limits.Bytes)
	}
	for len(f.kept) > 1 && (f.keptBytes > bytesMax || limits.Messages > 0 && len(f.kept) > limits.Messages) {
		f.before = f.kept[0].Offset
		f.whole, f.isCut = 0, true
		f.keptBytes -= int64(sizeOf(&f.kept[0]))
		f.kept[0] = hub.Source{}
		f.kept = f.kept[1:]
	}
}
