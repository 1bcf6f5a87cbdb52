package cluster

import "time"

const (
	checkTime    = time.Second      // between checks, and of rooms that spoke lately
	checkAllTime = 30 * time.Second // of all rooms
	spokeTime    = 10 * time.Second // how long a room counts among those that spoke lately
	silentTime   = 500 * time.Millisecond
	behindMax    = 3 // checks that say that a room ends before its last message
)

// checking asks where rooms end: a message that was lost on its way to us and has no next one
// leaves no hole.
type checking struct {
	isChecking  bool
	lastCheckAt time.Duration // when the last one began
	place       int           // in the walk over all rooms
	walked      int           // rooms in this walk
}

// checkAll has all rooms' ends asked for at once: some messages may be lost.
func (n *Node) checkAll() {
	for _, r := range n.order {
		r.mustCheck = true
	}
	n.lastCheckAt = 0
	n.checking.walked = 0
}

// check begins one if it is time. It asks the leader for the stream's state too, which tells
// whether there is one.
func (n *Node) check(now time.Duration) {
	if !n.isTrusted || n.isChecking || now-n.lastCheckAt < checkTime && n.lastCheckAt > 0 {
		return
	}
	n.lastCheckAt = max(now, 1)
	n.walked = 0
	n.checkSome(n.due(now))
}

// due is the next rooms whose ends are to be asked for, not more than can be at a time.
func (n *Node) due(now time.Duration) (rooms []*room) {
	for ; n.walked < len(n.order) && len(rooms) < LastMax; n.walked++ {
		if n.place++; n.place >= len(n.order) {
			n.place = 0
		}
		if r := n.order[n.place]; r.isDue(now, min(checkAllTime, n.o.Age/8)) {
			rooms = append(rooms, r)
		}
	}
	return rooms
}

// isDue leaves out rooms in the midst of speaking: their next message tells what is missing.
func (r *room) isDue(now, every time.Duration) bool {
	if r.state != live {
		return false
	}
	silent := now - r.appendedAt
	return r.mustCheck || now-r.checkedAt >= every || silent >= silentTime && silent < spokeTime
}

// An askedRoom is one as it was when its end was asked for.
type askedRoom struct {
	*room
	last    uint64
	version uint64
}

func (n *Node) checkSome(rooms []*room) {
	n.isChecking = true
	names, asked := make([]string, len(rooms)), make([]askedRoom, len(rooms))
	from, now, doubts, reached := uint64(0), n.now(), n.doubts, n.reached
	for i, r := range rooms {
		names[i], asked[i] = r.name, askedRoom{r, r.last, r.version}
		if from == 0 || r.provenTo+1 < from {
			from = r.provenTo + 1
		}
		r.mustCheck = false
		r.checkedAt = now
	}
	n.start(func(q *requests) func() {
		var last []Stored
		var upTo uint64
		var state State
		var err error
		if len(names) > 0 {
			last, upTo, err = q.last(names, from)
		}
		if err == nil {
			state, err = q.state()
		}
		return func() {
			if err == nil && doubts == n.doubts && state.Last < reached {
				n.suspect(errSuspect)
			}
			if err == nil && doubts != n.doubts {
				err = errSuspect // The answer may be of a stream that was, or is another one.
			}
			n.checked(asked, from, now, state, last, upTo, err)
		}
	})
}

// checked takes the ends of rooms, as of a server that may lag behind.
func (n *Node) checked(asked []askedRoom, from uint64, at time.Duration, state State, last []Stored, upTo uint64, err error) {
	n.isChecking = false
	defer n.startRooms()
	if err != nil {
		for _, r := range asked {
			r.mustCheck = true
		}
		return
	}
	n.counters.checks.Add(uint64(len(asked)))
	n.goodAt = max(n.goodAt, at)
	n.reached = max(n.reached, state.Last)
	n.recent.noteFree(&state)
	n.recent.note(at, &state, n.o.Age)
	ends := make(map[string]*Stored, len(last))
	for i := range last {
		ends[last[i].Room] = &last[i]
	}
	for i := range asked {
		if a := &asked[i]; !a.isGone && a.room.version == a.version && a.state == live {
			n.checkedRoom(a, ends[a.name], from, at, state, upTo)
		}
	}
	if len(asked) == LastMax && n.isTrusted {
		if more := n.due(n.now()); len(more) > 0 {
			n.checkSome(more)
		}
	}
}

func (n *Node) checkedRoom(a *askedRoom, end *Stored, from uint64, at time.Duration, state State, upTo uint64) {
	r := a.room
	switch {
	case end != nil && end.Seq > r.last:
		n.repair(r, end.Seq)
		return
	case end != nil && end.Seq == r.last && end.ID != r.lastID:
		n.lost(r, "its last message is another one in the stream")
		n.contradict()
		return
	case end == nil && a.last >= from && state.First <= a.last, end != nil && end.Seq < a.last:
		// It lags behind, or our last message is none of the stream's.
		if r.behind++; r.behind >= behindMax {
			r.behind = 0
			n.repair(r, r.last)
			r.mustAsk = true
		}
		r.mustCheck = true
		return
	}
	r.behind = 0
	if end != nil && end.Seq != a.last && end.Seq != r.last { // More has come since: nothing tells whether this one was among it.
		r.mustCheck = true
		return
	}
	if end == nil && state.First > r.provenTo+1 && !n.isFresh(r, state.Last) {
		n.lost(r, "what was stored since the last check may have been dropped")
		return
	}
	r.provenAt = at
	if upTo > r.provenTo {
		r.provenTo = upTo
		n.rooms.Proved(r.name, n.epoch, endOf(upTo))
	}
	n.judgePromise(r, &state)
}
