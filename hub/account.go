package hub

// An Account says what became of messages: each counts once for every member that was in its room
// when it was published. What is owed grows with a publish; each of the other three is counted
// where it happens, so that together they tell whether anything was lost:
//
//	owed = delivered + skipped + ended early + what is still due to members that are there
//
// It holds exactly for a room at any moment, and for the sum of all loops while they stand still.
type Account struct {
	Owed      uint64 // messages published, times the members there; and those that members began behind
	Delivered uint64 // handed to the kernel whole, by a dropped frame's Rest too
	Skipped   uint64 // jumped over by members that were overrun, under Skip and Latest
	Ended     uint64 // not delivered whole when their member left: it ended early
}

// Due is what is still owed to members that are there, and what is left of dropped frames.
func (a *Account) Due() uint64 { return a.Owed - a.Delivered - a.Skipped - a.Ended }

// add adds what another one counted.
func (a *Account) add(o *Account) {
	a.Owed += o.Owed
	a.Delivered += o.Delivered
	a.Skipped += o.Skipped
	a.Ended += o.Ended
}

// Account returns what became of the room's messages since it was made.
func (r *Room) Account() Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.account
	for _, b := range r.branches {
		a.Delivered += b.delivered.Load()
	}
	return a
}

// OwedOutside is what is owed of messages that were published outside of all loops: no loop's Stats
// have it.
func (h *Hub) OwedOutside() uint64 { return h.owedOutside.Load() }

// countDelivered counts messages that the kernel has taken whole.
func (b *branch) countDelivered(n int) {
	b.delivered.Add(uint64(n))
	b.fan.stats.Delivered += uint64(n)
}

// settle takes a leaving member out of the account: what it has yet to get it will not. The frame
// that it is in the middle of has ended early; overrun, it leaves that one to its Rest. The caller
// holds the lock.
func (r *Room) settle(m *Member) {
	n := r.log.next - m.cursor.seq()
	r.account.Ended += n
	m.branch.fan.stats.Ended += n
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
