package gateway

import (
	"time"

	"sluice/hub"
	"sluice/wsproto"
)

// A config is what a server runs by: Options with defaults filled in and "none" written as zero,
// what nobody needs to turn, and what follows from both.
type config struct {
	Options
	tuning

	memory   memorySource
	isFilled bool // a zero is "none" from here on
	hasRates bool // of one connection
	origins  wsproto.OriginPolicy
	hosts    wsproto.HostPolicy

	anonymous   Principal // who is not known
	socketGroup int       // what SocketGroup is to the system; negative: none
}

// A tuning holds the bounds of one turn and their like. They are no options, because nobody needs
// to turn them but tests.
type tuning struct {
	readBudget        int           // bytes that one connection reads in one turn
	writeBudget       int           // bytes that one connection writes in one turn …
	longWriteBudget   int           // … and where nobody waits, see hub.Limits.LongTurn
	overTime          time.Duration // how long a client may go on being over a rate
	costlyTurn        time.Duration // how long a client's turn may take before its next has to stand in line …
	costlyWork        int           // … if there was so much to do in it, see conn.read
	lookEvery         time.Duration // how often memory is looked at
	panics            bool          // where an invariant does not hold, instead of going on
	ringsAll          bool          // rings send every batch, not wide ones alone
	walkTime          time.Duration // what looking at all connections may take of one tick
	certificatesEvery time.Duration // how often their files are looked at
	inflaterSize      int64         // what a message being inflated counts for in AssemblyMemory, beside its bytes
	expiryGrace       time.Duration // how long a client of the protocol has to bring another token
	wallClock         func() int64  // milliseconds since 1970
	newEpoch          func() string // of a room with a history; nil: at random
	outageTime        time.Duration // of an outage, see Options.CloseOnOutage
	homeMax           int           // how many may be in a room that is at home on one loop; negative: none is
}

// What tuning is without a test that turns it.
const (
	// readBufferSize is what one read takes at most. One buffer serves all connections of a loop; a
	// connection whose room is full in the middle of it keeps what is left.
	readBufferSize = 16 << 10
	// readBudget and writeBudget keep a fast connection from making the others of its loop wait for
	// longer than it takes to copy this much. Many choose 64 KiB as their largest message, which
	// goes out in one write with the head of its frame.
	readBudget  = readBufferSize
	writeBudget = 64<<10 + headRoom
	// longWriteBudget is 0.3 ms of writing, where 64 KiB are 20 µs: a little more than a sweep's
	// slice.
	longWriteBudget = 1<<20 + headRoom
	// headRoom is more than the head of any frame, and than a push of the protocol has around its
	// data.
	headRoom = 512
	// overTime is how long a client may go on sending more than a rate allows. It is held to the
	// rate meanwhile.
	overTime = 10 * time.Second
	// costlyTurn is well beyond what reading and publishing a budget of ordinary messages takes;
	// costlyWork is what there was to do in it, or the loop only waited for a processor.
	costlyTurn = 250 * time.Microsecond
	costlyWork = 1024
	// walkTime is as long as a loop's other turns.
	walkTime = 250 * time.Microsecond
	// outageTime is until an outage ends the clients' connections, if it is to.
	outageTime = 10 * time.Second
	// homeMax is as many as one loop delivers to in the time in which another is woken and has
	// begun, several times over.
	homeMax = 64
	// inflaterSize is a window, code tables and the stack that they are used on.
	inflaterSize = 64 << 10
	// lookEvery is how often memory is looked at. What the backlogs take is bounded between looks
	// too; the rest grows slowly.
	lookEvery = 100 * time.Millisecond
	// certificatesEvery is how often their files are looked at.
	certificatesEvery = time.Second
	// expiryGrace is the while in which a client of the protocol brings another token.
	expiryGrace = 25 * time.Second
)

// fill writes defaults for zeros and zeros for what is "none", once.
func (c *config) fill() {
	if c.isFilled {
		return
	}
	c.isFilled = true
	c.Options = c.Defaults()
	for _, n := range []*int{&c.MaxPerAddress, &c.ConnectRate, &c.MaxRooms, &c.FrameRate, &c.PingRate, &c.MessageRate} {
		*n = max(0, *n)
	}
	c.MaxLifetime = max(0, c.MaxLifetime)
	for _, n := range []*int64{&c.InflateRate, &c.ByteRate, &c.MinReadRate, &c.UnsentBuffer, &c.SendBuffer, &c.CompressMin} {
		*n = max(0, *n)
	}
	c.DrainDelay = max(0, c.DrainDelay)

	setDefault(&c.readBudget, readBudget)
	setDefault(&c.writeBudget, writeBudget)
	setDefault(&c.longWriteBudget, longWriteBudget)
	setDefault(&c.overTime, overTime)
	setDefault(&c.lookEvery, lookEvery)
	setDefault(&c.costlyTurn, costlyTurn)
	setDefault(&c.costlyWork, costlyWork)
	setDefault(&c.walkTime, walkTime)
	setDefault(&c.expiryGrace, expiryGrace)
	setDefault(&c.outageTime, outageTime)
	setDefault(&c.homeMax, homeMax)
	setDefault(&c.inflaterSize, inflaterSize)
	if c.wallClock == nil {
		c.wallClock = wallClock
	}
	setDefault(&c.certificatesEvery, certificatesEvery)
	if c.memory.read == nil {
		c.memory = runtimeMemory()
	}
}

// MessageHeaderMax is the most that a message takes in a room's log beside its bytes.
const MessageHeaderMax = wsproto.MaxServerHeader

// spareSources are the sources of a loop that are not connections: listeners.
const spareSources = 64

// sourcesMax is how many connections a loop can have, and what else it watches. That more were
// allowed later than were at first should not need another loop.
func (c *config) sourcesMax() int { return max(c.MaxConnections, 1<<20) + spareSources }

// readMax is the most that one read takes, in bytes.
func (c *config) readMax() int { return min(readBufferSize, c.readBudget) }

// inputMax is the most that one connection holds of input that is not finished, in bytes: a message
// as it came, what came of it and the byte that would be one too many, an inflater, a control
// frame's payload, and a read that waits undecoded behind it.
func (c *config) inputMax() int64 {
	return int64(wsproto.DeflatedMax(int(c.MaxMessage))) + c.MaxMessage + 1 + c.inflaterSize + wsproto.MaxControlPayload + int64(c.readMax())
}

// assemblyPace is how much time a byte of the largest message may take for it to be whole in time.
func (c *config) assemblyPace() time.Duration {
	return max(1, c.AssemblyTimeout/time.Duration(c.MaxMessage))
}

// assemblyShare is what one loop may hold of unfinished messages, in bytes. However little
// AssemblyMemory is, a client that is alone is within it, or it might be closed for nothing but
// waiting; and others have room for a message beside it.
func (c *config) assemblyShare() int {
	return int(max(c.AssemblyMemory/int64(c.Loops), c.inputMax()+c.MaxMessage))
}

// headCost is what an unfinished head takes beside its bytes.
const headCost = 512

// headShare is what one loop may hold of unfinished heads, in bytes. However little HeadMemory is,
// a client that is alone is within it: a slice that grows takes up to twice what is in it.
func (c *config) headShare() int {
	return int(max(c.HeadMemory/int64(c.Loops), 2*(c.MaxHead+readBufferSize)+headCost))
}

// replyShare is what the subscribers of one loop may hold of what they have not read, in bytes: as
// much as of unfinished messages, so that a reply with one of the largest in it is within it, or
// four of them that each hold all of ReplyBacklog.
func (c *config) replyShare() int {
	return max(c.assemblyShare(), 4*int(c.ReplyBacklog))
}

// handshakeShare is how many TLS handshakes of one loop may be parked.
func (c *config) handshakeShare() int { return max(1, c.TLSHandshakes/c.Loops) }

func (c *config) limits() hub.Limits {
	histories := int64(0)
	if c.keepsHistory() {
		histories = c.HistoryMemory
	}
	return hub.Limits{
		History: histories,
		Backlog: c.RoomBacklog, Window: c.PublishWindow,
		Total: c.BacklogMemory, Pinned: c.PinnedMemory, Rooms: c.MaxRooms, Turn: c.writeBudget, LongTurn: c.longWriteBudget,
		Small:   max(0, c.homeMax),
		MinRate: max(1, c.MinReadRate), // Whoever takes anything has a vote for as long as there are.
	}
}

// timeoutMax is longer than anybody means, and far from where sums of durations overflow.
const timeoutMax = 1000 * time.Hour

// stallMax is the longest that any client may take nothing.
func (c *config) stallMax() time.Duration {
	longest := c.StallTimeout
	if c.SlowPolicy != hub.Disconnect {
		longest = max(longest, c.SkipTimeout)
	}
	for _, r := range c.Rooms {
		if r.HasPolicy && r.Policy != hub.Disconnect {
			longest = max(longest, c.SkipTimeout)
		}
	}
	return longest
}

// keepsHistory reports whether any room does.
func (c *config) keepsHistory() bool { return len(c.History) > 0 }
