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
