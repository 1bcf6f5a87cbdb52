package gateway

import "sluice/wsproto"

// A headBudget counts what the connections of one loop hold of request heads that are not whole.
// Each loop has its share of --head-memory. An honest head comes within a moment, and most come in
// one read and are never held; so beyond the share whoever has been at its head for longest is
// refused, however many others come, and however large theirs are.
type headBudget struct {
	limit          int // bytes
	held           int
	oldest, newest *conn // a list by inbound.older and inbound.newer
}

// hold notes what c holds of its head now.
func (b *headBudget) hold(c *conn) {
	in := c.in
	if in.headHeld == 0 {
		in.older, b.newest = b.newest, c
		if in.older != nil {
			in.older.in.newer = c
		} else {
			b.oldest = c
		}
	}
	n := cap(in.head) + headCost
	b.held += n - in.headHeld
	in.headHeld = n
	for b.held > b.limit {
		b.oldest.refuse(wsproto.Refuse(wsproto.ReasonHeads), b.oldest.in.head)
	}
}

// drop notes that c holds nothing of a head any more.
func (b *headBudget) drop(c *conn) {
	in := c.in
	if in.headHeld == 0 {
		return
	}
	b.held -= in.headHeld
	if in.older != nil {
		in.older.in.newer = in.newer
	} else {
		b.oldest = in.newer
	}
	if in.newer != nil {
		in.newer.in.older = in.older
	} else {
		b.newest = in.older
	}
	in.headHeld, in.older, in.newer = 0, nil, nil
}
