package cluster

import (
	"time"

	"sluice/hub"
)

// Rooms are this gateway's rooms. Only the node's goroutine calls them, and they must not wait.
// What Sources refer to must not be changed, and is not to be kept without copying.
type Rooms interface {
	// Append publishes the room's next messages, those of one pack. Their offsets are their
	// positions in the epoch.
	Append(room, epoch string, all []hub.Source)

	// Fill gives a room that keeps messages what the stream has of it, the oldest first, in place
	// of all that it kept. Whoever stands at the offset before, or behind it, misses nothing by
	// them; the next message is behind all of them and behind before.
	Fill(room, epoch string, before uint64, kept []hub.Source)

	// Reset says that continuity is not proved: what the room keeps is void, and its members are
	// told that they may have missed something. Fill comes next, at once or when the stream
	// answers.
	Reset(room, epoch string)

	// Proved says that the room had no message behind its last one up to an offset: a client that
	// stood there on another node has missed nothing.
	Proved(room, epoch string, offset uint64)

	// Oldest is the offset of the oldest message that the room is to keep still, and for how long
	// it has been there; not ok if there is none.
	Oldest(room string) (offset uint64, age time.Duration, ok bool)

	// Close says that the room is followed no more, so that what it keeps will not be whole. It
	// returns false, and nothing changes, if somebody is in it.
	Close(room string) bool

	// Hold makes the room's publishers wait, as in a full room, or no longer.
	Hold(room string, on bool)

	// Outage says that the stream does not answer, or that it does again.
	Outage(on bool)
}
