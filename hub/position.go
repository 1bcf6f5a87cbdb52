package hub

import (
	"errors"
	"strconv"
	"strings"
)

// A Position is a place among a room's messages that clients may be told: behind the message that
// has this offset. Offsets begin with 1 and grow within an epoch; they may jump. Without an epoch
// it is none. (A member's own Position is something else: bytes of its track.)
type Position struct {
	Epoch  string
	Offset uint64
}

// String is the epoch and the offset with a colon between them.
func (p Position) String() string { return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10) }

// ParsePosition takes what String returns, and zeros in front of the offset.
func ParsePosition(s string) (p Position, ok bool) {
	epoch, number, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch == "" {
		return Position{}, false
	}
	return Position{epoch, n}, true
}

// ErrOffset is of a message that brings an offset which is not behind its room's last one.
var ErrOffset = errors.New("hub: the offset is not behind the room's last one")

// A mark is what a message has of a position: its offset or, if it has none of its own, that of the
// last message before it that has one.
type mark struct {
	offset   uint64
	isAbsent bool
}

// covers reports whether who stands at this offset has everything up to the marked message.
func (k mark) covers(offset uint64) bool {
	return offset > k.offset || offset == k.offset && !k.isAbsent
}
