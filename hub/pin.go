package hub

import "container/list"

// A pin is a frame that the log has dropped while members were in the middle of it: a copy, or, of
// a large frame, the segment's own bytes. Those of one loop that are stuck in the same frame share
// it, if one round has found them there. Pins of the same large frame count for it each: what a
// loop gives up then makes room, whoever else keeps it. It belongs to its fanout's loop.
type pin struct {
	fan     *Fanout
	room    *Room         // whose account has the frame; nil: none has, because its readers have left
	place   *list.Element // among the fanout's pins, oldest first
	frame   []byte
	holders list.List // of *Member, in the order they came
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

// restFor keeps what m has yet to send of the frame it is in the middle of. The frame is copied
// once in a round.
func (b *branch) restFor(m *Member) Rest {
	n := m.cursor.restOfFrame()
	if n == 0 {
		return Rest{}
	}
	c := m.cursor
	id := frameID{c.seg, c.frame}
	p := b.round.pins[id]
	if p == nil || p.frame == nil {
		p = b.fan.pin(b.room, c.copyOfFrame())
		if b.round.pins == nil {
			b.round.pins = map[frameID]*pin{}
		}
		b.round.pins[id] = p
	}
	return Rest{left: p.frame[len(p.frame)-n:], pin: p, place: p.holders.PushBack(m.voter())}
}

func (f *Fanout) pin(r *Room, frame []byte) *pin {
	p := &pin{fan: f, room: r, frame: frame}
	p.place = p.fan.pins.PushBack(p)
	p.fan.hub.backlog.pin(footprint(len(p.frame)))
	return p
}

func (p *pin) drop() {
	if p.frame == nil {
		return
	}
	p.fan.pins.Remove(p.place)
	p.fan.hub.backlog.pin(-footprint(len(p.frame)))
	p.frame = nil
}

// fitPins keeps pinned memory, which all loops share, within its limit: those of this loop that
// have been stuck for longest are given up. Where all rooms may take little, half of that is for
// those who read, but for a loop's last pin. For what remains pinned the rooms drop.
func (f *Fanout) fitPins() {
	k := &f.hub.backlog
	isOver := func() bool {
		pinned := k.pinned.Load()
		return pinned > f.hub.limits.Pinned || pinned > k.limit.Load()/2 && f.pins.Len() > 1
	}
	for f.pins.Len() > 0 && isOver() {
		p := f.pins.Front().Value.(*pin)
		for e := p.holders.Front(); e != nil; {
			m := e.Value.(*Member)
			e = e.Next() // Before Abort, which takes the element out.
			f.stats.Unpinned++
			m.client.Abort()
		}
		p.drop() // Its last holder's Release has done it, unless a client kept its Rest.
	}
	f.hub.fit(f)
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
		p.fan.stats.Delivered++
	} else {
		p.room.account.Ended++
		p.fan.stats.Ended++
	}
}
