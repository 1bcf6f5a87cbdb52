package hub

import (
	"errors"
	"iter"
	"time"
)

// A hub that follows takes the order of its rooms from elsewhere: a message is in a room when
// Append says so, and what the room keeps begins with Fill. Its members publish there, and not by
// Member.Publish.
//
//	made ──Fill──▶ whole ◀─────Fill─────┐
//	                 └──Reset──▶ void ──┘
//
//	state    who joins                                      its publishers
//	made     waits: ErrNotFilled; or has no position        wait
//	whole    begins where it asks                           wait while somebody holds them
//	void     as in made                                     likewise
//
// A room that keeps nothing lacks nothing: it is joined at once, and only its publishers wait.

// ErrAhead says that a member wants to begin behind a message of this epoch that has yet to come
// here: its client had it elsewhere. Join is to be called again in a moment.
var ErrAhead = errors.New("hub: the position is ahead of what has come of the room")

// ErrTooLarge is of who gives rooms their order, for a message that is larger than it takes.
var ErrTooLarge = errors.New("hub: the message is larger than the rooms' order takes")

// Append publishes the next messages of a room's order, wherever they came from: it asks no brake,
// because that would hold the order's other messages. Into a room that is not there, or not whole,
// nothing is published. Each is a Recorder whose offset is its position: ErrOffset, and no more of
// them, if that is not behind the last one. One is done with when the next one is asked for; loops
// are woken behind all, so that those who are at the end get them in one write. It is for the one
// goroutine, no loop's, that gives all rooms their order.
func Append(h *Hub, name string, now time.Duration, all iter.Seq[Encoder]) error {
	r, ok := h.Room(name)
	if !ok {
		return nil
	}
	by := outsiders.Get().(*Fanout)
	defer func() { // As in publish.
		by.wakeOwed()
		outsiders.Put(by)
	}()
	for m := range all {
		switch err := r.publish(by, now, m, 0).err; err {
		case nil:
		case errClosed, ErrNotFilled:
			return nil // Nobody is there, or all that matters comes with Fill.
		default:
			return err
		}
	}
	return nil
}

// A Fill is what is to be kept of a room that begins, or begins anew.
type Fill struct {
	Epoch  string
	Before uint64 // everything behind this offset is there
	End    uint64 // offset of the last message kept, or Before
	// Kept are the messages, each a Recorder, and by the clock of Append when they came. One is
	// done with when the next one is asked for.
	Kept iter.Seq2[time.Duration, Encoder]
}

// Fill gives a room what it keeps, if it is there, and lets its publishers go on. One that is whole
// has all of its epoch, and nothing happens; of another epoch it is reset first. Members that are
// in a room with history meanwhile, behind a Reset, get nothing that is kept, because they may have
// had it: the room begins behind that, and Client.Reset tells them before they get anything else.
// It is for the goroutine that Append is for.
func (h *Hub) Fill(name string, f Fill) {
	r, ok := h.Room(name)
	if !ok {
		return
	}
	if r.beginFill(&f) {
		for at, m := range f.Kept {
			r.publish(nil, at, m, 0)
		}
	}
	r.endFill()
}

// beginFill reports whether what is kept is to be appended.
func (r *Room) beginFill(f *Fill) bool {
	by := new(Fanout)
	defer by.wakeOwed()
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.log.history
	switch {
	case h == nil || r.isClosed || h.filling == isWhole && h.epoch == f.Epoch:
		return false
	case r.members == 0:
		r.restart(Position{f.Epoch, f.Before})
		h.filling = isFilling
		return f.Kept != nil
	}
	h.resetAt = Position{f.Epoch, f.End}
	r.restart(h.resetAt)
	h.resets.Add(1)
	for _, b := range r.branches {
		b.schedule(by, becauseReset)
	}
	return false
}

// IsAhead reports whether a position is of the room's epoch, and its message has yet to come. In a
// hub that does not follow none will.
func (r *Room) IsAhead(at Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isAhead(at)
}

// isAhead is IsAhead for who holds the lock.
func (r *Room) isAhead(at Position) bool {
	h := r.log.history
	return r.hub.follows && h != nil && h.filling == isWhole && at.Epoch == h.epoch && at.Offset > h.end()
}

// IsWhole reports whether the room has what it is to keep: always, unless the hub follows.
func (r *Room) IsWhole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.history == nil || r.log.history.filling == isWhole
}

func (r *Room) endFill() {
	r.mu.Lock()
	if h := r.log.history; h != nil {
		h.filling = isWhole
	}
	r.mu.Unlock()
	r.hold(heldToFill, false)
}

// Reset says that continuity is not proved in a room: what it keeps is void, its epoch another, or
// the same one, and Fill is to come. In a room that keeps nothing nobody can be told: its members
// are counted. It is for the goroutine that Append is for.
func (h *Hub) Reset(name, epoch string) {
	r, ok := h.Room(name)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.log.history == nil:
		h.untold.Add(uint64(r.members))
	case !r.isClosed:
		r.restart(Position{Epoch: epoch})
		r.log.history.filling = isVoid
	}
}

// Untold is how many members were in rooms that keep nothing when those were reset.
func (h *Hub) Untold() uint64 { return h.untold.Load() }

// restart makes nothing readable that is kept, and has what comes follow a position. The caller
// holds the lock.
func (r *Room) restart(at Position) {
	h := r.log.history
	h.epoch, h.last, h.provedTo = at.Epoch, mark{offset: at.Offset}, 0
	h.lost, h.floor = h.last, r.log.next
	r.log.held -= r.log.tracks[source].retire(r.log.next)
	r.noteMoved()
}

// Published counts n bytes that m's client has published in the room, and that Append is to bring,
// for its turn and its vote.
func (m *Member) Published(n int) {
	m.spent = uint16(min(int(m.spent)+n, leaseBytes))
	m.said(n)
}

// Published is Member.Published.
func (r *Reader) Published(n int) { r.m.Published(n) }

// Make makes a room that keeps messages, if it is not there, for somebody who is no member and will
// read them. One that keeps nothing is not made. The errors are those of Fanout.Join.
func (h *Hub) Make(name string) error {
	if h.historyOf(name).isNone() {
		return nil
	}
	_, err := h.roomOrNew(name)
	return err
}
