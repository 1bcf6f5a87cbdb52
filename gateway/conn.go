package gateway

import (
	"fmt"
	"net/netip"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// transport is what a connection's bytes go through: the kernel itself for plain TCP and unix
// sockets. It never blocks: EAGAIN says that the rest must wait.
type transport interface {
	Read(fd int, p []byte) (int, error)
	Write(fd int, p []byte) (int, error)
	CloseWrite(fd int) error
}

// A lifeState is how far a connection has come, and so what it writes:
//
//	reading ──101──▶ open ──a reason to close──▶ finishing ──▶ parting ──sent──▶ lingering ──▶ dead
//	   │ │             └──overrun, and its room lets it go────────▲                             ▲
//	   │ └──refused, answered for the last time───────────────────┘                             │
//	   └──another path: lent to net/http for one request ───────────────────────────────────────┘
//
//	state      what it sends                                what it does with what comes
//	reading    the answer to /livez                         collects the request head
//	open       its room's messages, frames of its own       decodes and publishes it, unless it is
//	                                                        paused; of one that listens: drops it
//	finishing  its room's messages up to the reason         drops it
//	parting    what is in its outbox, the Close frame       drops it
//	lingering  nothing: writing is shut down                drops it until its end, within bounds
//	dead       nothing: the descriptor closes with the tick –
//
// It can die in any state.
type lifeState uint8

const (
	reading lifeState = iota
	open
	finishing
	parting
	lingering
	dead
)

// lifeMoves are the transitions there are: a bit for each state that may follow.
var lifeMoves = [...]uint8{
	reading:   1<<open | 1<<parting | 1<<dead,
	open:      1<<finishing | 1<<parting | 1<<dead,
	finishing: 1<<parting | 1<<dead,
	parting:   1<<lingering | 1<<dead,
	lingering: 1 << dead,
	dead:      0,
}

func (s lifeState) String() string {
	return [...]string{"reading", "open", "finishing", "parting", "lingering", "dead"}[s]
}

// A pause is a reason not to read a connection on; several may hold at a time:
//
//	why          begins when                                  ends when
//	pauseRoom    its room is full, or others are before it    the hub says it is its turn: Resume
//	pauseRate    it is over a rate of messages or bytes       its bucket has filled: the timer
//	pauseTurn    it has had its turn, or is costly            the loop gives it the next
//	pauseParked  its question is asked, see desk              the answer has come
//
// While any holds, its sender is held by TCP and no clock runs against it: neither that of an
// unfinished message nor that of silence.
type pause uint8

const (
	pauseRoom pause = 1 << iota
	pauseRate
	pauseTurn
	pauseParked
)

// A past is what matters of what a connection has behind it: of the first three while it is
// reading, of the others while it is open.
type past uint8

const (
	wasAccepted past = iota // nothing
	wasHanded               // net/http: it came by ServeHTTP, with one request that is an upgrade or nothing
	wasAnswered             // an answer to an ordinary request: it may be silent for a while now
	hasSpoken               // messages of its own, since its kernel last refused what it has to get
	mute                    // leave to hear its room, and none to publish there
	listens                 // a request for events: it hears its room so, and what it sends is not looked at
	subscribes              // the upgrade of a subscriber, and whatever it said since
)

// A conn is one client's connection, from accept to close. It belongs to its worker's loop. There
// are many, so what a connection rarely needs lives behind a pointer and is allocated when it first
// does; TestConnSize pins its size.
type conn struct {
	w     *worker
	other *transport // nil: the kernel
	token reactor.Token

	// Incoming.
	in     *inbound      // input that waits for more, or for the room
	meter  *meter        // what limits want to know of it; nil: nothing
	heard  time.Duration // when it last sent bytes, or took some of its own
	pinged time.Duration // when it was pinged and has not been heard since; zero: never

	// Outgoing.
	reader hub.Member
	own    *outbox // bytes of its own that wait for the kernel
	end    *closing

	fd      int32
	life    lifeState
	pauses  pause // why it is not read on
	isArmed bool  // registered for Writable too, because a write was refused
	past    past  // what it has behind it
}

// setLife is the one place where the state changes.
func (c *conn) setLife(to lifeState) {
	if lifeMoves[c.life]&(1<<to) == 0 {
		c.w.server.broken(fmt.Sprintf("a connection that is %v becomes %v", c.life, to))
	}
	c.life = to
}

// transport is what the connection's bytes go through.
func (c *conn) transport() transport {
	if c.other != nil {
		return *c.other
	}
	return c.w.kernel
}

// inbound is input that could not be finished with when it was read.
type inbound struct {
	head         []byte    // an incomplete request head, or requests that wait for their turn
	scanned      int       // how much of head has been searched for its end
	isLine       bool      // head's request line is whole and good
	headHeld     int       // bytes that the worker counts as this connection's share of --head-memory
	question     *question // for which it is parked, with its head; nil: it is not
	older, newer *conn     // its neighbours in the list of those that hold any

	unsent   *wsproto.Message // that the cluster did not take, before the stash; nil: none
	stash    []byte           // read and not yet decoded, a read buffer at most: reading is paused or a turn over
	commands []byte           // of a subscriber's frame, a message at most, of which some have to wait …
	obeyed   int              // … behind that number of bytes
	decoder  wsproto.Decoder
	portion  portion       // what it takes of --assembly-memory
	began    time.Duration // when the first byte of the message under way came; zero: there is none
	stopped  time.Duration // since when it is we who do not read on; zero: we do
}

// An outbox holds bytes that belong to one client alone: the handshake's answer, pongs, pings, the
// Close frame. It exists only while there are such. Its bound is what one client can have due at a
// time: an answer, a ping, pongs up to pongsMax, a Close; and what Send gave, up to sendMax and a
// message.
type outbox struct {
	rest   hub.Rest // of the log's frame that was partly sent when the log dropped it; goes first
	bytes  []byte
	pongAt int // where in bytes a pong that has not begun stands, or -1
	held   int // bytes that the loop's replyBudget counts …
	place  int // … and where in its heap it stands
}

// A closing is how a connection ends.
type closing struct {
	reason  CloseReason
	code    wsproto.Code // zero: no Close frame is due
	text    string
	due     time.Duration // when it is over, whatever the client does
	dropped int64         // bytes read and dropped

	standing standing // when its end began
}

// A standing is what a log line says of a connection's place in its room.
type standing struct {
	room, from string
	lag        hub.Lag // zero unless it is why the connection ends
}

// metered returns the connection's meter, and gives it one if it has none.
func (c *conn) metered() *meter {
	if c.meter == nil {
		c.meter = &meter{}
	}
	return c.meter
}

// key is whom the connection counts for.
func (c *conn) key() (key netip.Addr) {
	if c.meter != nil {
		key = c.meter.key
	}
	return key
}

// isThrottled reports whether the connection is not read on because its client was over a rate.
func (c *conn) isThrottled() bool { return c.pauses&pauseRate != 0 }

// outboxKept is the most that the outbox of a loop keeps of the memory that one client needed.
const outboxKept = 4 << 10
