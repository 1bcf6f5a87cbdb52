package cluster

import "errors"

// fetchOpening subscribes to a room, then finds out where it ends, and fetches a page of what its
// history needs. The order matters: what is published in between is republished to us, or there to
// be fetched.
func (n *Node) fetchOpening(r *room) task {
	name, isFirst, asked := r.name, !r.hasBegun, n.now()
	from := max(r.filling.last, 1) // The last message of the page before proves that nothing in between was dropped.
	keeps := n.keeps(name)
	return func(q *requests) func() {
		a := opened{askedAt: asked}
		if isFirst {
			a.find(q, name)
		}
		if a.err == nil && keeps && (!isFirst || a.tail.Seq > 0) {
			a.kept, a.hasMore, a.err = q.after(name, from)
		}
		if last := len(a.kept) - 1; isFirst && last >= 0 && a.err == nil && !a.hasMore {
			tail, err := q.tail(name)
			a.isAll = err == nil && tail.Seq == a.kept[last].Seq
		}
		return func() { n.opened(r, &a, isFirst, keeps) }
	}
}

// find subscribes and asks the leader where the room ends.
func (a *opened) find(q *requests, name string) {
	if a.err = q.subscribe(name); a.err != nil {
		return
	}
	if a.state, a.err = q.state(); a.err != nil {
		return
	}
	if a.tail, a.err = q.tail(name); errors.Is(a.err, ErrNotFound) {
		a.tail, a.err = Stored{}, nil
	}
}

// opened takes what a task found out, and opens the room when all is there.
func (n *Node) opened(r *room, a *opened, isFirst, keeps bool) {
	if a.err != nil {
		n.rest(r)
		return
	}
	if isFirst {
		n.beginFilling(r, a)
	}
	before := r.filling.last
	isOlder := r.isPlaced && r.begun.tail.Seq > 0 && r.begun.tail.Seq < r.last
	switch err := n.fill(r, a.kept); {
	case isOlder && r.tries < lagTries && err != errAnother: // The server that answered lags behind.
		n.beginAnew(r)
	case err == errAnother || isOlder:
		n.lost(r, "its last message is not in the stream")
		n.contradict()
	case err == errDropped:
		n.beginAnew(r)
	case !keeps || r.isFilled(a.hasMore):
		if isFirst && a.isAll && len(a.kept) < n.o.PacksMax && r.whole > 0 {
			r.before = min(r.before, r.whole)
		}
		n.filled(r)
	case r.filling.last > before:
		r.tries = 0
		n.enqueue(r)
	case r.tries >= repairTries:
		n.beginAnew(r)
	default: // The server that answered lags behind.
		n.rest(r)
	}
}

func (n *Node) beginAnew(r *room) {
	r.filling = filling{}
	n.rest(r)
}

// beginFilling notes how far a room has to be filled: up to where it ends or, if it is open, where
// it is.
func (n *Node) beginFilling(r *room, a *opened) {
	r.hasBegun = true
	r.begun = *a
	r.begun.kept = nil
	r.target = r.last
	switch seq, ok := n.recent.since(n.now(), n.o.Age); { // Unless something is kept.
	case r.isPlaced && r.last > 0:
		r.before = endOf(r.last)
	case r.isPlaced:
		r.before = r.end()
	case a.tail.Seq == 0 && ok && !a.state.IsFull: // There was nothing for so long. A check may know more by now.
		r.before = endOf(min(max(seq, a.state.First-1), a.state.Last))
	default:
		r.before = endOf(max(a.state.Last, a.tail.Seq))
	}
	if !r.isPlaced {
		r.target = a.tail.Seq
	}
}

// isFilled reports whether all is there. If the room is open, the message up to which it is filled
// may have been dropped since.
func (r *room) isFilled(hasMore bool) bool {
	wasDropped := r.begun.tail.Seq == 0 || r.begun.state.First > r.target
	return r.filling.last >= r.target || r.isPlaced && !hasMore && wasDropped
}

// Errors of fill.
var (
	errDropped = errors.New("something between this page and the one before may be missing")
	errAnother = errors.New("the room's last message is another one, or none of the stream's")
)

// fill adds a page to what a room is filled with.
func (n *Node) fill(r *room, page []Stored) error {
	limits, f := n.o.HistoryOf(r.name), &r.filling
	for i := range page {
		s := &page[i]
		switch {
		case i == 0 && f.last > 0 && s.Seq == f.last && s.ID == f.lastID:
			continue
		case i == 0 && f.last > 0:
			return errDropped
		case r.isPlaced && (s.Seq == r.last && s.ID != r.lastID || s.Seq > r.last && f.last > 0 && f.last < r.last):
			return errAnother
		case r.isPlaced && s.Seq > r.last: // It comes behind this.
			f.last = s.Seq
			return nil
		case i == 0:
			f.before = offsetOf(s.Seq, 0) - 1
			f.whole = n.wholeFrom(r, s)
		}
		f.last, f.lastID = s.Seq, s.ID
		f.packs++
		f.quarters.add(s.Seq, n.o.PacksMax)
		n.fillWith(f, s)
		f.cut(limits, n.o.FillBytesMax)
	}
	return nil
}

// wholeFrom is the offset behind which s is the room's first message, unless there are as many as
// may be kept; zero if that is not known. Before an anchor there was more.
func (n *Node) wholeFrom(r *room, s *Stored) uint64 {
	seq, ok := n.recent.since(n.now(), n.o.Age)
	list, err := decode(nil, s.Seq, s.Pack)
	if !ok || r.begun.state.IsFull || err != nil || len(list) == 0 {
		return 0
	}
	return endOf(max(seq, r.begun.state.First-1))
}

func (n *Node) fillWith(f *filling, s *Stored) {
	from := len(f.kept)
	var err error
	switch f.kept, err = decode(f.kept, s.Seq, s.Pack); err {
	case nil:
	case errVersion: // What is before it is not whole.
		n.counters.unknownVersion.Add(1)
		f.kept, f.keptBytes, f.before, f.whole = nil, 0, endOf(s.Seq), 0
	default:
		n.counters.garbage.Add(1)
	}
	for i := from; i < len(f.kept); i++ {
		f.keptBytes += int64(sizeOf(&f.kept[i]))
	}
}

// filled hands over what was fetched, and lets the room's messages through.
func (n *Node) filled(r *room) {
	f := &r.filling
	if !r.isPlaced {
		r.last, r.lastID, r.isPlaced = f.begun.tail.Seq, f.begun.tail.ID, true
		r.quarters = f.quarters
		if f.last > 0 {
			r.last, r.lastID = f.last, f.lastID
		}
		r.provenTo, r.provenAt = max(f.begun.state.Last, f.begun.tail.Seq), f.begun.askedAt
	}
	n.rooms.Fill(r.name, n.epoch, f.before, f.kept)
	n.rooms.Proved(r.name, n.epoch, r.end())
	n.judgeFilled(r)
	r.filling = filling{}
	if r.releasedAt == 0 {
		r.releasedAt = max(n.now(), 1) // Perhaps nobody has waited for it.
	}
	r.checkedAt = n.now()
	r.appendedAt = n.now() // Other servers may not know yet that it is subscribed to: its end is asked for soon.
	n.goLive(r)
}
