package hub

import "container/list"

// pins are the dropped frames of one loop that members are in the middle of.
type pins struct {
	all    list.List // of *pin, the one that has been there for longest in front
	budget *backlog  // which counts them
	stats  *Stats    // the loop's
}

// A holder has a Rest, and is told when there is no memory to keep that any longer.
type holder interface{ Abort() }

// A pin is a frame that the log has dropped while members were in the middle of it: a copy, or, of
// a large frame, the segment's own bytes. Those of one loop that are stuck in the same frame share
// it, if one round has found them there. Pins of the same large frame count for it each: what a
// loop gives up then makes room, whoever else keeps it. It belongs to its fanout's loop.
type pin struct {
	pins    *pins
	room    *Room         // whose account has the frame; nil: none has, because its readers have left
	place   *list.Element // among the pins, oldest first
	frame   []byte
	holders list.List // of holder, in the order they came
}

// A Rest is what is left of a frame that a member was in the middle of when its room dropped it. No
// other byte may go out before it. The zero Rest is empty. It belongs to the member's loop.
type Rest struct {
	left  []byte
	pin   *pin
	place *list.Element // among the pin's holders
}

// Bytes is what has not been sent yet. It is shared and must not be changed.
func (r *Rest) Bytes() []byte { return r.left }

// Sent moves the rest on by n bytes that the kernel took, and gives it up when that was all.
func (r *Rest) Sent(n int) {
	if r.left = r.left[n:]; len(r.left) == 0 {
		r.Release()
	}
}

// Release gives the rest up: it was sent, or its client is gone.
func (r *Rest) Release() {
	p := r.pin
	if p == nil {
		return
	}
	p.settle(len(r.left) == 0)
	p.holders.Remove(r.place)
	if p.holders.Len() == 0 {
		p.drop()
	}
	*r = Rest{}
}

// add keeps a frame of a room's account, which nobody holds yet.
func (k *pins) add(r *Room, frame []byte) *pin {
	p := &pin{pins: k, room: r, frame: frame}
	p.place = k.all.PushBack(p)
	k.budget.pin(footprint(len(frame)))
	return p
}

// rest is the last n bytes of the pin's frame, for a holder.
func (p *pin) rest(n int, by holder) Rest {
	return Rest{left: p.frame[len(p.frame)-n:], pin: p, place: p.holders.PushBack(by)}
}

func (p *pin) drop() {
	if p.frame == nil {
		return
	}
	p.pins.all.Remove(p.place)
	p.pins.budget.pin(-footprint(len(p.frame)))
	p.frame = nil
}

// settle counts the frame of a Rest that is over: delivered if all of it was sent. The room may be
// gone already.
func (p *pin) settle(isSent bool) {
	if p.room == nil {
		return
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if isSent {
		p.room.account.Delivered++
		p.pins.stats.Delivered++
	} else {
		p.room.account.Ended++
		p.pins.stats.Ended++
	}
}
