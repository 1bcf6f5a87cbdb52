package cluster

import (
	"time"

	"sluice/hub"
)

// following is what a node knows of the rooms that it follows. All of it is the node's goroutine's.
type following struct {
	byName    map[string]*room
	order     []*room // the same ones, for walks
	queue     []*room // those that a task is to be started for
	resting   []*room // those for which that is due at a time
	running   int     // tasks
	heldBytes int64   // of all rooms
	decoded   []hub.Source
}

// A room's state says what becomes of a message that was republished:
//
//	Open ──▶ opening ──filled──▶ live ──a hole──▶ repairing
//	            ▲                  ▲                  │ │
//	            │                  └─────closed───────┘ │
//	            └────reset: continuity is not proved────┘ also from live
//
//	opening     subscribed, and what the stream keeps is fetched: held
//	live        held against its predecessor, and appended
//	repairing   what is missing is fetched: held
type roomState uint8

const (
	opening roomState = iota
	live
	repairing
)

// A room is one that this node follows.
type room struct {
	name  string
	state roomState
	index int // in following.order

	// last is the sequence of the message that was appended last, or that nothing need be appended
	// up to; zero: the stream kept none. lastID is its id.
	last   uint64
	lastID string
	// isPlaced says that last is its place in the stream: it was opened, and not reset since.
	isPlaced bool
	// provenTo is a sequence up to which nothing of the room was in the stream but what is
	// appended; provenAt is when that was asked for.
	provenTo uint64
	provenAt time.Duration

	target   uint64 // repairing: the hole goes up to this one. Opening: what is fetched does
	mustAsk  bool   // repairing: the leader is asked where the room ends
	tries    int    // that brought nothing
	retryAt  time.Duration
	isQueued bool   // in following.queue, or resting
	isBusy   bool   // a task is on its way
	version  uint64 // of what tasks know: answers to older ones are void
	isGone   bool

	filling
	held       []Live
	heldBytes  int64
	mustCheck  bool // its end is asked for with the next check
	behind     int  // checks that said that the room ends before its last message
	appendedAt time.Duration
	checkedAt  time.Duration
	releasedAt time.Duration // zero: it is in use
	quarters   quarters
	isShort    bool // the stream keeps less than the room's history
}

const (
	heldMax     = 1024 // messages of a room that wait for a repair
	heldCost    = 256  // what each takes beside its pack
	releaseTime = 30 * time.Second
)

// lookAtDoors opens the rooms that were asked for, and notes those that nobody is in.
func (n *Node) lookAtDoors() {
	asked, released := n.doors.take()
	for _, name := range released {
		if r := n.byName[name]; r != nil {
			r.releasedAt = max(n.now(), 1)
		}
	}
	for _, name := range asked {
		r := n.byName[name]
		if r == nil {
			r = &room{name: name, index: len(n.order)}
			n.byName[name] = r
			n.order = append(n.order, r)
		}
		r.releasedAt = 0
		n.reopen(r)
	}
}

// reopen has a room filled anew. If it was open, it goes on where it is: whoever is in it may be
// there still.
func (n *Node) reopen(r *room) {
	if r.isPlaced && r.state == live && !n.keeps(r.name) {
		n.rooms.Fill(r.name, n.epoch, r.end(), nil)
		n.doors.open(r.name)
		return
	}
	r.version++
	r.mustCheck = true
	r.state = opening
	r.tries, r.mustAsk, r.target = 0, false, 0
	r.filling = filling{}
	n.enqueue(r)
}

// end is the offset behind which the room's next message is, whatever was in the stream and is no
// more.
func (r *room) end() uint64 { return endOf(max(r.last, r.provenTo)) }

// take is a message that was republished.
func (n *Node) take(m *Live) {
	r := n.byName[m.Room]
	switch {
	case r == nil:
		n.counters.stray.Add(1)
	case r.state != live:
		n.hold(r, m)
	default:
		n.follow(r, m)
	}
}

// hold keeps a message until what was published before it is there. What there is no place for is
// fetched later.
func (n *Node) hold(r *room, m *Live) {
	cost := int64(heldCost + len(m.Pack))
	if len(r.held) >= heldMax || n.heldBytes+cost > n.o.HeldBytesMax {
		r.mustCheck = true
		n.counters.heldDropped.Add(1)
		return
	}
	r.held = append(r.held, *m)
	r.heldBytes += cost
	n.heldBytes += cost
}

// dropHeld lets go of all that a room holds, and returns it.
func (n *Node) dropHeld(r *room) []Live {
	held := r.held
	n.heldBytes -= r.heldBytes
	r.held, r.heldBytes = nil, 0
	return held
}

// follow appends a message if its predecessor was appended last, and otherwise sees to what is
// missing.
func (n *Node) follow(r *room, m *Live) {
	switch {
	case m.Seq == r.last && m.ID != r.lastID:
		n.lost(r, "its last message is another one in the stream")
		n.contradict()
	case m.Seq <= r.last:
		n.counters.doubled.Add(1)
	case m.Seq <= r.provenTo, m.Prev < r.last && m.Prev > 0: // The stream went back, or somebody else speaks in its place.
		n.counters.impossible.Add(1)
		n.lost(r, "a message cannot be where it says to be in the stream")
		n.contradict()
	case m.Prev == r.last && r.last > 0, m.Prev == 0 && n.isFresh(r, m.Seq):
		n.append(r, &m.Stored)
	case m.Prev == 0: // What was before it has expired: nothing is missing if that is all that has.
		n.repair(r, m.Seq)
	default:
		n.hold(r, m)
		n.repair(r, m.Prev)
	}
}

// isFresh reports whether nothing of the room can have been stored up to a sequence and dropped
// unseen since it was proved that nothing was missing: by its age it is still there, and by size
// the stream has dropped nothing.
func (n *Node) isFresh(r *room, upTo uint64) bool {
	return n.now()-r.provenAt < n.o.Age/4 && upTo <= n.fitsTo
}

// append publishes a message of the stream in its room.
func (n *Node) append(r *room, s *Stored) {
	list, err := decode(n.decoded[:0], s.Seq, s.Pack)
	r.last, r.lastID = s.Seq, s.ID
	r.appendedAt = n.now()
	r.quarters.add(s.Seq, n.o.PacksMax)
	n.see(s.Seq, s.ID)
	switch err {
	case nil:
		n.rooms.Append(r.name, n.epoch, list)
		n.counters.appended.Add(uint64(len(list)))
	case errVersion:
		n.counters.unknownVersion.Add(1)
		n.warn("version", "a message is of a newer version, and left out", "room", r.name, "sequence", s.Seq)
		n.counters.resets.Add(1)
		n.rooms.Reset(r.name, n.epoch)
		n.rooms.Fill(r.name, n.epoch, endOf(s.Seq), nil)
	default:
		n.counters.garbage.Add(1)
		n.warn("garbage", "something in the stream is no message, and left out", "room", r.name, "sequence", s.Seq)
	}
	clear(list)
	n.decoded = list[:0]
}

// goLive lets a room's messages through again, those first that were held.
func (n *Node) goLive(r *room) {
	r.state = live
	r.tries, r.mustAsk, r.target = 0, false, 0
	held := n.dropHeld(r)
	for i := range held {
		if n.follow(r, &held[i]); r.state != live {
			for j := i + 1; j < len(held); j++ {
				n.hold(r, &held[j])
			}
			return
		}
	}
	n.doors.open(r.name)
}

// reset tells a room that its continuity is not proved, and has it filled anew.
func (n *Node) reset(r *room) {
	n.counters.resets.Add(1)
	n.doors.shut(r.name)
	n.rooms.Reset(r.name, n.epoch)
	n.dropHeld(r)
	r.last, r.lastID, r.isPlaced = 0, "", false
	r.provenTo, r.provenAt, r.behind = 0, 0, 0
	r.quarters, r.isShort = quarters{}, false
	n.reopen(r)
}

// lost resets a room, and says why.
func (n *Node) lost(r *room, why string) {
	n.warn("lost", "a room's clients are told that continuity is lost: "+why, "room", r.name, "last", r.last, "wanted", r.target)
	n.reset(r)
}

// expect says that the room has a message of that sequence, which should have been republished by
// now.
func (n *Node) expect(name string, seq uint64) {
	if r := n.byName[name]; r != nil && seq > r.last {
		r.appendedAt = n.now()
	}
}

// closeRooms follows no more what nobody has been in for a while.
func (n *Node) closeRooms(now time.Duration) {
	for i := len(n.order) - 1; i >= 0; i-- {
		r := n.order[i]
		if r.releasedAt == 0 || now-r.releasedAt < releaseTime || r.state != live {
			continue
		}
		n.doors.shut(r.name)
		if !n.rooms.Close(r.name) {
			r.releasedAt = 0
			n.doors.open(r.name)
			continue
		}
		n.broker.Unsubscribe(r.name)
		n.dropHeld(r)
		r.isGone = true
		last := n.order[len(n.order)-1]
		n.order[r.index] = last
		last.index = r.index
		n.order[len(n.order)-1] = nil
		n.order = n.order[:len(n.order)-1]
		delete(n.byName, r.name)
		n.doors.remove(r.name)
	}
}
