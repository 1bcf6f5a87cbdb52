package cluster

import "errors"

const (
	repairTries = 20 // in vain, for a hole that the stream's leader says can be closed
	lagTries    = 6  // and before a leader is believed that knows less: 1.3 s, for one that was elected just now
)

// A hole is what a task found out about a room that lacks something.
type hole struct {
	kept    []Stored
	hasMore bool
	isAsked bool // the leader was, for the rest
	state   State
	tail    Stored // Seq zero: none
	err     error
}

// fetchHole fetches a page from the room's last message on. Unless that is all that was missing,
// and the page begins with that message, the leader is asked for more.
func (n *Node) fetchHole(r *room) task {
	name, last, target, mustAsk := r.name, r.last, r.target, r.mustAsk
	from := r.last
	if from == 0 {
		from = r.provenTo + 1
	}
	return func(q *requests) func() {
		var h hole
		h.kept, h.hasMore, h.err = q.after(name, from)
		isProved := last > 0 && len(h.kept) > 0 && h.kept[0].Seq == last
		isEnough := len(h.kept) > 0 && (h.hasMore || h.kept[len(h.kept)-1].Seq >= target)
		if h.err == nil && (!isProved || !isEnough || mustAsk) {
			h.ask(q, name)
		}
		return func() { n.fetched(r, &h) }
	}
}

func (h *hole) ask(q *requests, name string) {
	h.isAsked = true
	if h.tail, h.err = q.tail(name); errors.Is(h.err, ErrNotFound) {
		h.tail, h.err = Stored{}, nil
	}
	if h.err == nil {
		h.state, h.err = q.state()
	}
}

// fetched takes a page of what was missing.
func (n *Node) fetched(r *room, h *hole) {
	if h.err != nil {
		n.rest(r)
		return
	}
	if h.isAsked {
		n.recent.noteFree(&h.state)
	}
	before := r.last
	if len(h.kept) > 0 && !n.closeHole(r, h) {
		n.lost(r, "messages that are missing may have been dropped")
		return
	}
	isAnother := h.isAsked && r.last > 0 && h.tail.Seq == r.last && h.tail.ID != r.lastID
	isOlder := h.isAsked && h.tail.Seq < r.last && h.tail.Seq > 0
	isShorter := h.isAsked && h.tail.Seq < r.target
	switch {
	case isOlder && r.tries < lagTries: // The server that answered lags behind.
		n.rest(r)
	case isAnother || isOlder:
		n.lost(r, "its last message is not in the stream")
		n.contradict()
	case r.last >= r.target && (h.isAsked || !r.mustAsk):
		n.goLive(r)
	case r.last > before:
		r.tries = 0
		n.enqueue(r)
	case isShorter && r.tries >= lagTries, r.tries >= repairTries: // It is not to be had, or never was.
		isShort := h.isAsked && h.state.Last < r.target // What was republished would be there.
		if n.lost(r, "messages are missing, and not in the stream"); isShort {
			n.contradict()
		}
	default: // The server that answered lags behind.
		n.rest(r)
	}
}

// closeHole appends a page. It returns false if something before the page may be missing.
func (n *Node) closeHole(r *room, h *hole) bool {
	first := &h.kept[0]
	switch {
	case first.Seq == r.last && r.last > 0:
		if first.ID != r.lastID {
			n.contradict()
			return false
		}
	case first.Seq > r.last && !n.isProved(r, h):
		return false
	}
	for i := range h.kept {
		if s := &h.kept[i]; s.Seq > r.last {
			n.counters.repaired.Add(1)
			n.append(r, s)
		}
	}
	return true
}

// isProved reports whether nothing of the room was dropped between its last message, which the
// stream keeps no more, and a page: not for the room's number, of which there cannot be as many as
// are kept; and not for age or size, by sequences or by time.
func (n *Node) isProved(r *room, h *hole) bool {
	most := h.state.Last - min(r.provenTo, h.state.Last)
	if !h.hasMore {
		most = uint64(len(h.kept))
	}
	switch {
	case !h.isAsked || most >= uint64(n.o.PacksMax):
		return false
	case r.last > 0 && h.state.First <= r.last: // It would be there, if it had been the stream's.
		return false
	}
	return h.state.First <= r.provenTo+1 || n.isFresh(r, h.state.Last)
}
