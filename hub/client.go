package hub

// A Client is what stands behind a Member. The hub hands its bytes to a Transport and tells the
// client only what it cannot know by itself: a delivery that the kernel takes calls none of these.
// They are called on the member's loop, and each may make the member leave.
type Client interface {
	// SendOwn sends what the client has to send beside the room's bytes, now that it may:
	// Member.HoldOwn has asked for that. It returns how many bytes went out, and whether that was
	// all. What it leaves because limit bytes have gone out it sends when it is called again; a
	// refusal of the kernel it reports by Member.Block.
	SendOwn(limit int) (sent int, isAll bool)
	// Refused says that the kernel did not take all of what it was handed. The client is to call
	// Member.Ready when its socket takes bytes again.
	Refused()
	// CaughtUp says that the member is no longer blocked: nobody need know when the socket takes
	// bytes.
	CaughtUp()
	// Finished says that the client has been sent all that Member.Finish left it to get.
	Finished()
	// Failed says that the transport could not write at all: the peer is gone.
	Failed()
	// Overrun says that the log has dropped what the member still had to send. rest is what is left
	// of the frame that is partly sent; it goes out before anything else. Under Disconnect the
	// member leaves its room with this call, and is to be closed. Otherwise it goes on by itself
	// when the rest has been sent.
	Overrun(rest Rest)
	// Rejoined says that the member, which was overrun and is at a frame boundary, goes on behind
	// this position, and how many messages it has missed. The client may send something of its own
	// first: Member.HoldOwn.
	Rejoined(missed uint64, at Position)
	// Reset says that the member's room has begun anew, and goes on behind this position: whether
	// something was missed is not known. It comes before anything of what follows. The member may
	// leave, and its client send something of its own.
	Reset(at Position)
	// Lagging says that the member has become slow, and that it has caught up again.
	Lagging(isSlow bool)
	// Abort says that there is no memory to keep the member's Rest any longer. The Rest must be
	// released.
	Abort()
	// Spoiled says that the member has left its room, because a panic left the room's state in
	// doubt. isWhole: at a frame boundary, so that the client can be told.
	Spoiled(isWhole bool)
	// Queued is how much of what the client was given its kernel has not got rid of, and what the
	// number means. It is asked now and then while the member is blocked, and may not change
	// anything.
	Queued() (n int64, means Queued)
	// Resume says that the turn has come of a member that AwaitRoom or EndTurn let wait. It is to
	// publish soon, asking again, and to say when its turn is over.
	Resume()
}

// A Queued says what a number means that tells how much a kernel has not got rid of.
type Queued uint8

const (
	QueuedBytes  Queued = iota // of what it was given: not acknowledged by the client's end
	QueuedMemory               // what they take: that it falls says that the client takes some, not how much
	QueuedUntold               // the kernel does not tell
)
