package hub

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// A History says what a room keeps for those who come later, whoever reads it now: whatever is
// within all of the limits. A limit of zero is none; the zero History keeps nothing.
type History struct {
	Messages int
	Bytes    int64 // of records: payloads, and 34 bytes and more of each for its head
	Age      time.Duration
}

func (h History) isNone() bool { return h == History{} }

// A history is what a room knows of what it keeps. The records themselves are the log's source
// track, which is open for as long as the room is there:
//
//	oldest        floor, next − Messages        next
//	  [ dropped later │ read by who asks           ]
//
// Segments are dropped whole, and all tracks together; reading is cut at the message. It is guarded
// by the room's lock, but for what never changes: whether a log has one.
type history struct {
	epoch  string
	limits History
	floor  uint64 // number of the first message that may be read: those before are too old, or removed
	last   mark   // of the last message
	lost   mark   // of the last message that the log has dropped

	filling  filling
	provedTo uint64        // as Proved said
	resets   atomic.Uint32 // times that members were to be told that the room has begun anew …
	resetAt  Position      // … and where that was the last time

	building    *int64                   // where a build is in the source track; nil: nobody builds one
	unusedSince [tracksMax]time.Duration // when tracks were first seen without readers; zero: it has some, or was not
	expiredAt   uint64                   // number of the next message when Expire came last
	emptySince  time.Duration            // when the room was first seen without anybody and anything; zero: it is not
	catchingUp  atomic.Int32             // members
	weight      int64                    // guarded by the hub's histories: which room drops first
}

// A filling says whether what a room keeps is whole, as follow.go draws it.
type filling uint8

const (
	isWhole   filling = iota // always, unless the hub follows
	isVoid                   // or was only made
	isFilling                // Fill goes on
)

// ErrNotFilled says that the room keeps messages, and what those are is not known yet: Fill is to
// come, and Join to be called again.
var ErrNotFilled = errors.New("hub: what the room keeps has yet to come")

// newEpoch is random: nobody can have seen it before.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }
