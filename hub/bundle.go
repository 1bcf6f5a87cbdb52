package hub

// A Bundle is one client's readers in several rooms, which share its connection:
//
//	room a ──sweep──▶ reader ─┐
//	room b ──sweep──▶ reader ─┼─▶ rota ──gather──▶ one delivery ──▶ answer ─▶ the readers' cursors
//	room c ──sweep──▶ reader ─┘     in the trunk's turn, behind the sweeps
//
// Its *trunk* is a member that stands for the connection: it is blocked and ready, it votes, its
// client's own bytes go out between two frames of the rooms'. It hears no room and is in a branch
// with the other trunks of its loop. A round that comes to a reader which has something to get has
// it wait in the rota, and counts it when the bundle has had its turn. So one tick is one delivery,
// whatever it is that its rooms have published.
//
// It belongs to the client's loop, like its readers. The zero Bundle is empty.
type Bundle struct {
	trunk   *Member
	client  Client       // the trunk's
	told    ReaderClient // … and its readers'
	readers []*Reader    // each at its index

	front, back *Reader // of the rota: readers that have something to get
	waiting     int32   // how many are in it
	parts       int32   // of them, in front, those that the transport has bytes of
	overruns    int32   // readers that stand nowhere in their logs
	inFrame     *Reader // whose frame the connection is in the middle of
	at          *Reader // the one that is dealt with, for a panic

	queued      queuedBy // on its fanout's queues of bundles
	isForLittle bool     // its turn is for the sake of readers with little to get
	isFinishing bool
	isCut       bool // overrun where the policy says Disconnect, and to end with the transport's answer
	isInDoubt   bool // a panic passed it
}

// queuedBy says in which parts of the queue a bundle is: a bit for each.
type queuedBy uint8

const (
	byLittle queuedBy = 1 << iota
	byMuch
)

// A ReaderClient hears of a bundle's readers what concerns one of them alone; what concerns the
// connection its Client hears: Refused, CaughtUp, Failed, Finished, Spoiled, Abort, and Overrun
// where the policy of one of its rooms is Disconnect. It is called on the bundle's loop. Each call
// may end the connection, and make the reader leave that it names, but no other one.
type ReaderClient interface {
	// KeepRest gives what is left of a frame whose reader leaves or is overrun. It goes out before
	// anything else, by Client.SendOwn, which the hub calls.
	KeepRest(rest Rest)
	// Rejoined says that a reader, which was overrun, goes on behind this position, and how many
	// messages it has missed. What the client sends of its own meanwhile, and could not send at
	// once, goes first.
	Rejoined(r *Reader, missed uint64, at Position)
	// Reset says that a reader's room has begun anew, and goes on behind this position.
	Reset(r *Reader, at Position)
	// Lagging says that a reader has become slow, and that it has caught up again.
	Lagging(r *Reader, isSlow bool)
	// Resume says that the turn has come of a reader that AwaitRoom or EndTurn let wait.
	Resume(r *Reader)
}

// A Reader is a bundle's member in one room. It is part of its client and belongs to the client's
// loop; the zero Reader is in no room. Its state is a member's:
//
//	outside ───Join───▶ writable ──the trunk is refused, or is blocked when a round comes──▶ blocked
//	   └─Join, behind the end or held────────────────────────────────────────────────────────▶ │
//	                       ▲                                                                   │
//	                       └──────────────── at the tail, in one of the trunk's turns ─────────┘
//
//	state     where it is                                                    its cursor
//	writable  at the tail; or in the rota, since a round met it              in the log
//	blocked   in the rota; held: nowhere                                     in the log, or overrun
//
// In the rota it is handed, for rounds that meet it, if it is writable or the transport has bytes
// of it.
type Reader struct {
	m      Member
	bundle *Bundle
	next   *Reader // behind it in the rota
	offer  int32   // bytes of it in the delivery that is being made, or is with the transport
	debt   int32   // … that it had beyond its share in the last ones
	index  int32   // among the bundle's readers

	isWaiting bool // in the rota
	isHeld    bool // not before Ready
	hasShare  bool // the kernel was offered its bytes in its last turn; behind without that, it has no vote
}

// waits is what a reader is handed that has its bytes not with the transport, but in the rota: it
// is no delivery's number that a transport answers for.
const waits = 1

// readerOf is the reader of a member of a bundled branch.
func readerOf(m *Member) *Reader { return (*Reader)(m.client.(*readerClient)) }

// IsIn reports whether r is in a room.
func (r *Reader) IsIn() bool { return r.m.IsIn() }

// Room is the room r is in.
func (r *Reader) Room() *Room { return r.m.Room() }

// isDone reports whether r, which is to Finish, has got all that it is to.
func (r *Reader) isDone() bool {
	return r.m.cursor.position() >= r.m.owedTo && r.m.cursor.restOfFrame() == 0
}

// A readerClient is a reader as its member's client.
type readerClient Reader

// bundleOf is the bundle of a member that is its trunk.
func bundleOf(m *Member) *Bundle { return (*Bundle)(m.client.(*bundleClient)) }

// voter is whose kernel is asked for m: its own, or its bundle's.
func (m *Member) voter() *Member {
	if m.branch.isBundled {
		return readerOf(m).bundle.trunk
	}
	return m
}

// Len is how many readers the bundle has.
func (k *Bundle) Len() int { return len(k.readers) }

func (k *Bundle) isIn() bool { return k.trunk.branch != nil }

// canSendOwn is Member.CanSendOwn of the trunk.
func (k *Bundle) canSendOwn() bool { return k.trunk.handed == 0 && k.inFrame == nil }

// A bundleClient is a bundle as its trunk's client.
type bundleClient Bundle
