package hub

import (
	"errors"
	"time"
)

// Errors of Offer. Publishers that are members wait instead.
var (
	ErrFull  = errors.New("hub: the room is full, and publishers wait")                     // see Room.IsFull
	ErrShort = errors.New("hub: rooms take too much memory until sweeps have gone past it") // see Hub.IsShort
)

// A Published is what came of publishing a message from outside.
type Published struct {
	Members  int // that the message is for, each of whom is owed it
	Position     // its own or, if it has none, the last one's; without an epoch the room has no history
}

// Offer publishes a message for somebody outside of all loops who cannot wait and so is told when
// publishers have to. A room that keeps messages is made if need be; into any other that is not
// there nothing is published, because nobody would hear it. ErrTooManyRooms says that nobody could
// join the room either.
//
// It is no method, because a panic that passed one of Hub's has left the directory in doubt, and
// one in here a room at most.
func Offer(h *Hub, name string, now time.Duration, m Encoder) (Published, error) {
	for {
		r, err := h.Find(name)
		if r == nil && !h.historyOf(name).isNone() {
			r, err = h.roomOrNew(name)
		}
		if r == nil {
			return Published{}, err
		}
		if p, err := r.offer(now, m); err != errClosed {
			return p, err
		}
	}
}

func (r *Room) offer(now time.Duration, m Encoder) (Published, error) {
	switch {
	case r.stops():
		return Published{}, ErrFull
	case r.hub.IsShort():
		return Published{}, ErrShort
	}
	p := r.publish(nil, now, m, 0)
	return Published{p.members, p.position}, p.err
}
