package hub

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Limits bound what the hub holds and how far publishers may run ahead. Sizes are in bytes.
type Limits struct {
	// Backlog is what a room retains for members that have fallen behind, in bytes of frames, all
	// tracks together. It must exceed the largest frame.
	Backlog int64
	// Window is how far a room's publishers may be ahead of its sweeps, and of most of its members,
	// before they wait.
	Window int64
	// Total is the memory of all rooms together, all tracks and pinned frames included: beyond it
	// the largest room drops its oldest segment. In memory frames take more than their bytes: tiny
	// ones twice as much.
	Total int64
	// Pinned is what is kept of dropped frames for members in the middle of them: beyond it, or
	// half of Total, the member of the loop at hand that has been stuck for longest is given up.
	Pinned int64
	// Rooms is how many there may be at a time. Zero is no limit.
	Rooms int
	// MinRate is how fast, in bytes a second, a client has to read if publishers are to wait for
	// it. Zero is 4 KiB.
	MinRate int64
	// Turn is what one member may be handed in one turn, so that a client that takes much does not
	// keep the others waiting.
	Turn int
	// LongTurn is what one member may be handed instead, to the end of the frame that it is in the
	// middle of, where nobody waits: where its branch is all that its loop has to sweep, at a
	// slice's beginning, and less as the slice goes on. It should take no longer to write than a
	// slice, which is what whoever comes meanwhile waits for. Not more than Turn: there are no long
	// turns.
	LongTurn int
	// History is the memory of all rooms together that have a history, instead of Total: beyond it
	// the one drops that keeps most of what no member waits for. It is needed with
	// Options.HistoryOf.
	History int64
	// Small is how many may be in a room that is at home on one loop, see ElsewhereError. Zero: no
	// room is.
	Small int
}

// memoryMax is more than any machine has, and far from where sums of it overflow.
const memoryMax = 1 << 60

// errClosed says that the room has ended: whoever still holds it looks it up anew.
var errClosed = errors.New("hub: the room has ended")

// Hub is the directory of rooms. Rooms are made by the first join and removed by the last leave. A
// Hub is safe for concurrent use.
type Hub struct {
	limits      Limits
	encodings   []EncodingInfo
	policyOf    func(room string) Policy
	historyOf   func(room string) History
	restore     func(room string, r *Record) Encoder
	newEpoch    func() string
	follows     bool
	onRoom      func(room string, isThere bool)
	onBroken    func(what string)
	backlog     backlog // of rooms without history
	histories   backlog // … and with one
	placed      uint8   // tracks whose frames have a place for the position
	catchingUp  atomic.Int64
	building    sync.Mutex    // one builds at a time; taken before any other lock
	built       atomic.Uint64 // tracks
	builtFrames atomic.Uint64 // … and frames for them
	isLowMemory atomic.Bool
	owedOutside atomic.Uint64 // of messages that were published outside of all loops
	untold      atomic.Uint64 // members of rooms without history that were reset

	mu       sync.Mutex
	rooms    map[string]*Room // Names are clients' choice: each map hashes with a seed of its own.
	roomsMax int              // Limits.Rooms, until SetRoomsMax
	isClosed bool             // no rooms are made
}

// Errors of Join. In either case the room does not exist.
var (
	ErrTooManyRooms = errors.New("hub: it would be one room more than there may be")
	ErrNoNewRooms   = errors.New("hub: no rooms are made at the moment")
)

// Options say what a hub is made of.
type Options struct {
	Limits    Limits
	Encodings []EncodingInfo // at most EncodingsMax; members read one each
	// PolicyOf returns the policy for a room's members on a loop, when the first one joins there
	// and at TakePolicies. It is called from any goroutine, with the room locked or not, and must
	// not call the hub. Nil: Disconnect.
	PolicyOf func(room string) Policy
	// HistoryOf returns what a room keeps for those who come later. It is called when a room is
	// made, with the directory locked, and by TakeHistories and Offer, and must not call the hub.
	// Nil: no room keeps anything.
	HistoryOf func(room string) History
	// Restore returns an encoder of a message that a room of that name has kept, for encodings that
	// come to be read late. Build calls it, and is through with one when it calls for the next. It
	// is needed with HistoryOf.
	Restore func(room string, r *Record) Encoder
	// NewEpoch names the epoch of a room that is made: it must not have been one of that room's
	// before. Nil: at random.
	NewEpoch func() string
	// Follows says that the order of the rooms comes from elsewhere, by Append, Fill and Reset.
	Follows bool
	// OnRoom hears that a room was made, and that it has ended. It is called with the directory
	// locked, and must not call the hub. Nil: nobody does.
	OnRoom func(room string, isThere bool)
	// OnBroken hears of an invariant that does not hold: a fault of this package, behind which the
	// hub tries to go on. It is called from any goroutine, with the room locked or not. Nil: the
	// hub panics.
	OnBroken func(what string)
}

// minRateDefault is in bytes a second, see Limits.MinRate.
const minRateDefault = 4 << 10

// New returns a hub without rooms. The error says which limits or encodings cannot be: every limit
// has to be above zero but for those that say what zero is.
func New(o Options) (*Hub, error) {
	l := o.Limits
	if l.Backlog <= 0 || l.Window <= 0 || l.Total <= 0 || l.Pinned <= 0 || l.Turn <= 0 || l.Rooms < 0 || l.Small < 0 || l.MinRate < 0 {
		return nil, fmt.Errorf("hub: limits must be positive, those of rooms and of the rate may be zero: %+v", l)
	}
	if l.MinRate == 0 {
		l.MinRate = minRateDefault
	}
	l.Total, l.History = min(l.Total, memoryMax), min(l.History, memoryMax)
	if err := checkEncodings(o.Encodings); err != nil {
		return nil, err
	}
	if o.HistoryOf != nil && (l.History <= 0 || o.Restore == nil) {
		return nil, errors.New("hub: rooms with history need a limit for their memory, and something that restores messages")
	}
	h := &Hub{
		limits: l, encodings: o.Encodings, policyOf: o.PolicyOf, historyOf: o.HistoryOf, restore: o.Restore,
		newEpoch: o.NewEpoch, follows: o.Follows, onRoom: o.OnRoom, onBroken: o.OnBroken, roomsMax: l.Rooms, rooms: map[string]*Room{},
	}
	h.placed = 1 << source
	for e, info := range o.Encodings {
		if info.PositionWidth > 0 {
			h.placed |= 1 << e
		}
	}
	if h.policyOf == nil {
		h.policyOf = func(string) Policy { return Disconnect }
	}
	if h.historyOf == nil {
		h.historyOf = func(string) History { return History{} }
	}
	if h.newEpoch == nil {
		h.newEpoch = newEpoch
	}
	if h.onRoom == nil {
		h.onRoom = func(string, bool) {}
	}
	h.histories.setLimit(l.History)
	h.backlog.setLimit(l.Total)
	return h, nil
}

// broken reports an invariant that does not hold.
func (h *Hub) broken(what string) {
	if h.onBroken == nil {
		panic("hub: " + what)
	}
	h.onBroken(what)
}

// RefuseRooms makes Join make no rooms until it is called again with false. Rooms that exist are
// joined as ever.
func (h *Hub) RefuseRooms(isOn bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isClosed = isOn
}

// SetRoomsMax sets another limit than Limits.Rooms. Rooms beyond it stay.
func (h *Hub) SetRoomsMax(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.roomsMax = n
}

// Rooms is the number of rooms at this moment.
func (h *Hub) Rooms() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms)
}

// Room returns the room of that name if it exists.
func (h *Hub) Room(name string) (*Room, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	return r, ok
}

// Find returns the room of that name for somebody who publishes into it, nil if there is none. Then
// nobody is in it, and none is made; ErrTooManyRooms says that nobody could join it either.
func (h *Hub) Find(name string) (*Room, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	if !ok && h.roomsMax > 0 && len(h.rooms) >= h.roomsMax {
		return nil, ErrTooManyRooms
	}
	return r, nil
}

// roomsAtATime is how many names All looks at before it lets others have the directory.
const roomsAtATime = 256

// All yields every room, in no order; it is an iter.Seq. The directory is locked for some of them
// at a time and never while yield runs: a room that is made or ends meanwhile may be yielded or
// not.
func (h *Hub) All(yield func(*Room) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	some := make([]*Room, 0, roomsAtATime)
	give := func() bool {
		h.mu.Unlock()
		defer h.mu.Lock()
		for _, r := range some {
			if !yield(r) {
				return false
			}
		}
		some = some[:0]
		return true
	}
	for _, r := range h.rooms { // A map may change while it is gone through, in turns with others.
		if some = append(some, r); len(some) == cap(some) && !give() {
			return
		}
	}
	give()
}

// roomOrNew returns the room of that name, which it makes if need be and if there may be another.
func (h *Hub) roomOrNew(name string) (*Room, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	switch {
	case ok:
		return r, nil
	case h.isClosed:
		return nil, ErrNoNewRooms
	case h.roomsMax > 0 && len(h.rooms) >= h.roomsMax:
		return nil, ErrTooManyRooms
	}
	r = newRoom(h, name)
	h.rooms[name] = r
	h.onRoom(name, true)
	return r, nil
}

// forget removes a closed room from the directory. Another of the same name may have taken its
// place.
func (h *Hub) forget(r *Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rooms[r.name] == r {
		delete(h.rooms, r.name)
		h.onRoom(r.name, false)
	}
}
