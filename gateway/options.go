package gateway

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"path"
	"runtime"
	"time"

	"sluice/hub"
	"sluice/wsproto"
)

// Options say how a Server behaves. The zero Options are a gateway as it should usually be. In every
// field zero stands for the default that is named there; where a number may be "none", a negative one
// says so. Sizes are in bytes.
type Options struct {
	// Loops is the number of event loops: one per core by default, at most 1024.
	Loops int
	// Pages answers what does not ask for a WebSocket. Nil: all of it is not found (404).
	Pages http.Handler

	// AllowOrigin lists origins, as https://example.com[:port], that pages may connect from besides
	// the gateway's own; "*" is any.
	AllowOrigin []string
	// TrustedProxy lists networks whose connections MaxPerAddress and ConnectRate do not count.
	TrustedProxy []netip.Prefix

	MaxConnections     int   // connections at a time: 100,000
	MaxHTTPConnections int   // … of which ordinary HTTP may hold: 256
	MaxMessage         int64 // largest message: 1 MiB, at most 1 GiB
	MaxPerAddress      int   // connections from one address, of IPv6 one /64: no limit
	ConnectRate        int   // new connections a second, with bursts of as many: no limit
	MaxRooms           int   // rooms at a time: no limit
	MaxFragments       int   // frames that one message may come in: 131,072
	AssemblyMemory     int64 // what all unfinished messages may take together: 256 MiB

	FrameRate   int   // frames a second from one client, beyond which it is closed: no limit
	PingRate    int   // pings a second from one client, beyond which it is closed: no limit
	MessageRate int   // messages a second that are taken from one client: no limit
	ByteRate    int64 // bytes a second that are taken from one client, at least 16 KiB: no limit

	SlowPolicy    hub.Policy // what becomes of a client further behind than its room keeps
	RoomBacklog   int64      // what a room keeps for clients that are behind: 16 MiB, more than MaxMessage
	BacklogMemory int64      // what all rooms may keep together: 512 MiB, at least RoomBacklog
	PinnedMemory  int64      // what may be kept of dropped messages for clients inside them: 64 MiB
	PublishWindow int64      // how far senders may be ahead of most readers: 1 MiB, at most RoomBacklog
	UnsentBuffer  int64      // what may wait in the kernel unsent for one client: 64 KiB; none: the kernel's choice
	SendBuffer    int64      // the kernel's whole send buffer for one client: the kernel's choice

	HandshakeTimeout time.Duration // from accepting a connection to the end of its request head: 10 s
	AssemblyTimeout  time.Duration // from the first byte of a message that comes in pieces to its last: 30 s
	PingInterval     time.Duration // silence after which a client is pinged: 30 s
	PongTimeout      time.Duration // how long a pinged client may stay silent: 15 s
	StallTimeout     time.Duration // how long a client may take none of the bytes that wait for it: 20 s
	SkipTimeout      time.Duration // the same under the policies skip and latest: 5 min
	CloseTimeout     time.Duration // how long a closing client has to take what it is owed: 5 s
	DrainTimeout     time.Duration // how long Drain may take; it spreads the closes over half of it: 10 s

	Rooms         []RoomRule // what is different in some rooms; of several that match the first counts
	NoCompression bool       // do not offer permessage-deflate
	CompressMin   int64      // smallest message that is worth deflating: 256; none: each is deflated
}

// An OptionError says what is wrong with one field of Options.
type OptionError struct {
	Field string // its name in Options
	Err   error
}

// Error implements error.
func (e *OptionError) Error() string { return fmt.Sprintf("gateway: Options.%s: %v", e.Field, e.Err) }

// Unwrap returns what is wrong, without the field's name.
func (e *OptionError) Unwrap() error { return e.Err }

// Validate reports everything that is wrong with o: nil, or an error that joins one *OptionError for
// each field.
func (o Options) Validate() error {
	c := config{Options: o}
	return c.prepare()
}

// Defaults returns o with every default filled in. What is "none" stays negative.
func (o Options) Defaults() Options {
	c := &o
	setDefault(&c.Loops, runtime.GOMAXPROCS(0)) // which follows a container's limit of processors
	setDefault(&c.MaxConnections, 100_000)
	setDefault(&c.MaxHTTPConnections, 256)
	setDefault(&c.MaxMessage, 1<<20)
	setDefault(&c.MaxFragments, 131_072)
	setDefault(&c.AssemblyMemory, 256<<20)
	setDefault(&c.RoomBacklog, 16<<20)
	setDefault(&c.BacklogMemory, 512<<20)
	setDefault(&c.PinnedMemory, 64<<20)
	setDefault(&c.PublishWindow, 1<<20)
	setDefault(&c.UnsentBuffer, 64<<10)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.AssemblyTimeout, 30*time.Second)
	setDefault(&c.PingInterval, 30*time.Second)
	setDefault(&c.PongTimeout, 15*time.Second)
	setDefault(&c.StallTimeout, 20*time.Second)
	setDefault(&c.SkipTimeout, 5*time.Minute)
	setDefault(&c.CloseTimeout, 5*time.Second)
	setDefault(&c.DrainTimeout, 10*time.Second)
	setDefault(&c.CompressMin, 256)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A config is what a server runs by: Options with defaults filled in and "none" written as zero, what
// nobody needs to turn, and what follows from both.
type config struct {
	Options
	tuning

	memory   memorySource
	isFilled bool // a zero is "none" from here on
	hasRates bool // of one connection
	origins  wsproto.OriginPolicy
}

// A tuning holds the bounds of one turn and their like. They are no options, because nobody needs to
// turn them but tests.
type tuning struct {
	readBudget   int           // bytes that one connection reads in one turn
	writeBudget  int           // bytes that one connection writes in one turn
	overTime     time.Duration // how long a client may go on being over a rate
	costlyTurn   time.Duration // how long a client's turn may take before its next has to stand in line …
	costlyWork   int           // … if there was so much to do in it, see conn.read
	panics       bool          // where an invariant does not hold, instead of going on
	inflaterSize int64         // what a message being inflated counts for in AssemblyMemory, beside its bytes
}

// readBudget and writeBudget bound what one connection moves in one turn, in bytes: a fast one must
// not keep the others of its loop waiting for longer than it takes to copy this much.
const (
	readBudget  = readBufferSize
	writeBudget = 64 << 10
)

// timeoutMax is longer than anybody means, and far from where sums of durations overflow.
const timeoutMax = 1000 * time.Hour

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
	for _, n := range []*int64{&c.ByteRate, &c.UnsentBuffer, &c.SendBuffer, &c.CompressMin} {
		*n = max(0, *n)
	}

	setDefault(&c.readBudget, readBudget)
	setDefault(&c.writeBudget, writeBudget)
	setDefault(&c.overTime, overTime)
	setDefault(&c.costlyTurn, costlyTurn)
	setDefault(&c.costlyWork, costlyWork)
	setDefault(&c.inflaterSize, inflaterSize)
	if c.memory.read == nil {
		c.memory = runtimeMemory()
	}
}

// prepare fills in defaults and what follows from them, and refuses what cannot work.
func (c *config) prepare() error {
	c.fill()
	c.hasRates = c.FrameRate > 0 || c.PingRate > 0 || c.MessageRate > 0 || c.ByteRate > 0
	var problems []error
	refuse := func(field, format string, args ...any) {
		problems = append(problems, &OptionError{field, fmt.Errorf(format, args...)})
	}
	if c.Loops < 1 || c.Loops > loopsMax {
		refuse("Loops", "%d is not 1 to %d", c.Loops, loopsMax)
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"MaxConnections", c.MaxConnections},
		{"MaxHTTPConnections", c.MaxHTTPConnections},
		{"MaxFragments", c.MaxFragments},
	} {
		if n.value < 1 {
			refuse(n.field, "%d is less than 1", n.value)
		}
	}
	if c.ByteRate > 0 && c.ByteRate < readBufferSize {
		refuse("ByteRate", "%d is less than %d, what is read at a time", c.ByteRate, readBufferSize)
	}
	if c.MaxMessage < 1 || c.MaxMessage > messageMax {
		refuse("MaxMessage", "%d is not 1 to %d", c.MaxMessage, messageMax)
	}
	if c.RoomBacklog < c.MaxMessage+wsproto.MaxServerHeader {
		refuse("RoomBacklog", "%d is not more than MaxMessage, %d: the largest message could never be delivered", c.RoomBacklog, c.MaxMessage)
	}
	for _, m := range []struct {
		field string
		value int64
		least int64
		why   string
	}{
		{"BacklogMemory", c.BacklogMemory, c.RoomBacklog, "RoomBacklog"},
		{"PinnedMemory", c.PinnedMemory, c.MaxMessage + wsproto.MaxServerHeader, "MaxMessage and a header"},
		{"AssemblyMemory", c.AssemblyMemory, c.MaxMessage, "MaxMessage"},
	} {
		if m.value < m.least {
			refuse(m.field, "%d is less than %s, %d", m.value, m.why, m.least)
		}
	}
	if c.UnsentBuffer > math.MaxInt32 {
		refuse("UnsentBuffer", "%d is more than %d", c.UnsentBuffer, math.MaxInt32)
	}
	if c.SendBuffer > math.MaxInt32/2 {
		refuse("SendBuffer", "%d is more than %d", c.SendBuffer, math.MaxInt32/2)
	}
	if c.PublishWindow < 1 || c.PublishWindow > c.RoomBacklog {
		refuse("PublishWindow", "%d is not 1 to RoomBacklog, %d", c.PublishWindow, c.RoomBacklog)
	}
	for _, t := range []struct {
		field string
		value time.Duration
	}{
		{"HandshakeTimeout", c.HandshakeTimeout},
		{"AssemblyTimeout", c.AssemblyTimeout},
		{"PingInterval", c.PingInterval},
		{"PongTimeout", c.PongTimeout},
		{"StallTimeout", c.StallTimeout},
		{"SkipTimeout", c.SkipTimeout},
		{"CloseTimeout", c.CloseTimeout},
		{"DrainTimeout", c.DrainTimeout},
	} {
		if t.value < time.Millisecond || t.value > timeoutMax {
			refuse(t.field, "%v is not %v to %v", t.value, time.Millisecond, timeoutMax)
		}
	}
	for _, r := range c.Rooms {
		if _, err := path.Match(r.Pattern, ""); err != nil || r.Pattern == "" {
			refuse("Rooms", "%q is no pattern", r.Pattern)
		}
	}
	var err error
	if c.origins, err = wsproto.ParseOrigins(c.AllowOrigin); err != nil {
		refuse("AllowOrigin", "%w", err)
	}
	return errors.Join(problems...)
}

// MessageHeaderMax is the most that a message takes in a room's log beside its bytes.
const MessageHeaderMax = wsproto.MaxServerHeader

const (
	loopsMax   = 1024
	messageMax = 1 << 30
)

// readMax is the most that one read takes, in bytes.
func (c *config) readMax() int { return min(readBufferSize, c.readBudget) }

// inputMax is the most that one connection holds of input that is not finished, in bytes: a message as
// it came, as much again for what came of it and the byte that would be one too many, an inflater, a
// control frame's payload, and a read that waits undecoded behind it.
func (c *config) inputMax() int64 {
	return 2*c.MaxMessage + 1 + c.inflaterSize + wsproto.MaxControlPayload + int64(c.readMax())
}

// assemblyShare is what one loop may hold of unfinished messages, in bytes. However little
// AssemblyMemory is, a client that is alone is within it, or it might be closed for nothing but
// waiting; and others have room for a message beside it.
func (c *config) assemblyShare() int {
	return int(max(c.AssemblyMemory/int64(c.Loops), c.inputMax()+c.MaxMessage))
}

func (c *config) limits() hub.Limits {
	return hub.Limits{
		Backlog: c.RoomBacklog, Window: c.PublishWindow,
		Total: c.BacklogMemory, Pinned: c.PinnedMemory, Rooms: c.MaxRooms, Turn: c.writeBudget,
	}
}
