package hub

import "slices"

// A panic leaves the state in doubt that it passed. Locks are let go on the way, so others would go
// on with it; what they may do is this:
//
//	where it came from                        in doubt    what becomes of it
//	an event of a member's client, that       its room    Spoil: it has no members any more, and its
//	passed this package; a sweep                          name is free for another
//	the directory, the backlog of all rooms   everybody   nobody should go on: end the process
//
// What recovers a panic decides by what it passed, and asks InDoubt which rooms a sweep was at.

// Spoil ends a room whose state is in doubt: nothing is published into it any more, its members
// have left it, and each one's client is told so by Client.Spoiled, on its own loop. It may be
// called from any goroutine, and more than once.
func (r *Room) Spoil() {
	by := new(Fanout)
	defer by.wakeOwed()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isSpoiled.Swap(true) {
		return
	}
	r.isFull.Store(false)
	r.holds.Store(0)
	r.mustAsk.Store(false)
	if l := r.line; l != nil {
		for _, m := range slices.Concat(l.waiting, l.leased) {
			m.setLineState(absent) // One that leaves, and looked before, is not to look for itself here.
		}
		l.waiting, l.leased, l.late = nil, nil, 0
	}
	r.isClosed = true
	r.hub.forget(r)
	r.budget().set(r, 0, 0, 0)
	for _, b := range r.branches {
		b.schedule(by, becauseSpoiled)
	}
	for _, b := range r.speakers.all() {
		b.schedule(by, becauseSpoiled)
	}
}

// InDoubt returns the rooms that a Flush was at which has panicked: that of the branch it swept,
// and those of a batch that the transport had. None says that it was at none, and that all may be
// in doubt. The next Flush goes on with the others.
func (f *Fanout) InDoubt() (rooms []*Room) {
	if k := f.serving; k != nil {
		f.serving, f.swept, f.sweeping = nil, nil, nil
		if rooms = k.inDoubt(); len(rooms) == 0 && k.isIn() {
			rooms = append(rooms, k.trunk.branch.room)
		}
	}
	if b := f.swept; b != nil {
		f.swept, f.sweeping = nil, nil
		rooms = append(rooms, b.room)
	}
	if k := f.sent; k != nil {
		f.sent = nil
		for i := range k.Deliveries {
			switch m := k.Deliveries[i].member; {
			case m == nil || m.branch == nil:
			case m.branch.isTrunks:
				rooms = append(rooms, bundleOf(m).inFlight()...)
			default:
				rooms = append(rooms, m.branch.room)
			}
		}
	}
	return rooms
}

// inDoubt returns the rooms that a panic has left in doubt, none if no reader was dealt with. The
// bundle's connection is not to be told anything in order.
func (k *Bundle) inDoubt() (rooms []*Room) {
	k.isInDoubt = true
	if r := k.at; r != nil && r.IsIn() {
		return []*Room{r.Room()}
	}
	for _, r := range k.readers {
		rooms = append(rooms, r.Room())
	}
	return rooms
}

// inFlight returns the rooms of which the transport has bytes, or had when it panicked.
func (k *Bundle) inFlight() (rooms []*Room) {
	r := k.front
	for range k.parts {
		k.isInDoubt = true
		if r.IsIn() {
			rooms = append(rooms, r.Room())
		}
		r = r.next
	}
	return rooms
}

// disband makes members of a spoiled room leave it, until the pace's deadline is past. Only they
// are looked at: nothing else of the branch can be trusted.
func (b *branch) disband(p *pace) {
	for len(b.members) > 0 {
		if p.now >= p.deadline {
			return
		}
		m := b.members[0]
		b.members = b.members[1:]
		if m == nil || m.branch != b {
			continue
		}
		client, isWhole := m.client, m.CanSendOwn()
		m.forsake()
		client.Spoiled(isWhole)
		p.look() // It may have written.
	}
	b.members, b.bitmap, b.holes, b.due, b.round = nil, nil, nil, 0, round{}
	delete(b.fan.tellings, b)
}

// InDoubt returns the rooms that a panic has left in doubt which passed this package in an event of
// the client of m, which is in a room: that one, or those of its bundle's readers that were dealt
// with.
func (m *Member) InDoubt() []*Room {
	if m.branch.isTrunks {
		return bundleOf(m).inDoubt()
	}
	return []*Room{m.branch.room}
}
