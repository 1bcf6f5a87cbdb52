package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"time"

	"sluice/hub"
	"sluice/wsproto"
)

// Config is the whole configuration: every field is a flag, and an environment variable of the same name in capitals
// behind SLUICE_ (SLUICE_MAX_MESSAGE for --max-message). Flags win over the environment.
type Config struct {
	Listen []string `help:"Where to listen: host:port, [v6]:port, :port for all interfaces, or unix:/path. Repeatable." default:":8080" placeholder:"ADDRESS" group:"Listening"`
	Loops  int      `help:"Event loops. 0 means one per core; fewer are calmer where others need the processors as well." default:"0" placeholder:"N" group:"Listening"`

	AllowOrigin  []string       `help:"An Origin that pages may connect from besides the gateway's own, as https://example.com[:port], or * for any. Repeatable." placeholder:"ORIGIN" group:"Admission"`
	TrustedProxy []netip.Prefix `help:"A network of proxies, as 192.0.2.0/24: what limits --max-per-address and --connect-rate do not count. Repeatable." placeholder:"CIDR" group:"Admission"`

	MaxConnections     int  `help:"Connections at a time, lowered at start to what the descriptor limit allows." default:"100000" placeholder:"N" group:"Limits"`
	MaxHTTPConnections int  `name:"max-http-connections" help:"Connections that ordinary HTTP may hold at a time." default:"256" placeholder:"N" group:"Limits"`
	MaxMessage         Size `help:"Largest message, in bytes or as 64KiB, 1MiB." default:"1MiB" placeholder:"SIZE" group:"Limits"`
	MaxPerAddress      int  `help:"Connections at a time from one address, of IPv6 one /64. Loopback and trusted proxies are not counted. 0 is no limit." default:"0" placeholder:"N" group:"Limits"`
	ConnectRate        int  `help:"New connections a second, with bursts of as many. Loopback and trusted proxies are not counted. 0 is no limit." default:"0" placeholder:"N" group:"Limits"`
	MaxRooms           int  `help:"Rooms at a time. 0 is no limit." default:"0" placeholder:"N" group:"Limits"`
	MaxFragments       int  `help:"Frames that one message may come in. One in more is refused with 1008." default:"131072" placeholder:"N" group:"Limits"`
	AssemblyMemory     Size `help:"What all unfinished messages may take together; each loop has its share, three messages and 80KiB at least, so that nobody is closed for what it holds alone. Beyond it the loop's largest is closed with 1013." default:"256MiB" placeholder:"SIZE" group:"Limits"`

	FrameRate   int  `help:"Frames a second that one client may send. Beyond it and a burst of as many the client is closed with 1008. 0 is no limit." default:"0" placeholder:"N" group:"Rates"`
	PingRate    int  `help:"Pings a second that one client may send. Beyond it and a burst of as many the client is closed with 1008. 0 is no limit." default:"0" placeholder:"N" group:"Rates"`
	MessageRate int  `help:"Messages a second that are taken from one client, with bursts of as many. Who sends more has to wait, and is closed with 1008 after ten seconds of it. 0 is no limit." default:"0" placeholder:"N" group:"Rates"`
	ByteRate    Size `help:"Bytes a second that are taken from one client, with bursts of as many. Who sends more has to wait, and is closed with 1008 after ten seconds of it. 0 is no limit." default:"0" placeholder:"SIZE" group:"Rates"`

	SlowPolicy    hub.Policy `help:"What becomes of a client that is further behind than its room keeps: disconnect (Close 4008), skip (it goes on at the oldest message kept) or latest (at the newest)." default:"disconnect" placeholder:"POLICY" group:"Slow clients"`
	RoomBacklog   Size       `help:"What a room keeps for clients that have fallen behind. Must exceed --max-message." default:"16MiB" placeholder:"SIZE" group:"Slow clients"`
	BacklogMemory Size       `help:"What all rooms may keep together. Beyond it the largest drops its oldest first." default:"512MiB" placeholder:"SIZE" group:"Slow clients"`
	PinnedMemory  Size       `help:"What may be kept of dropped messages for clients in the middle of them. Beyond it whoever of the loop at hand has been there for longest is cut." default:"64MiB" placeholder:"SIZE" group:"Slow clients"`
	PublishWindow Size       `help:"How far a room's senders may be ahead of most of its readers before they have to wait." default:"1MiB" placeholder:"SIZE" group:"Slow clients"`
	UnsentBuffer  Size       `help:"What may wait in the kernel unsent for one client (TCP_NOTSENT_LOWAT). Leaves the congestion window alone. 0 leaves it to the kernel, which holds megabytes for each client that does not read." default:"64KiB" placeholder:"SIZE" group:"Slow clients"`
	SendBuffer    Size       `help:"The kernel's whole send buffer for one client (SO_SNDBUF), sent but not acknowledged bytes included. 0 leaves it to the kernel, which fits it to each connection: a fixed one caps every client at so much per round trip." default:"0" placeholder:"SIZE" group:"Slow clients"`

	HandshakeTimeout time.Duration `help:"From accepting a connection to the end of its request head." default:"10s" group:"Timeouts"`
	AssemblyTimeout  time.Duration `help:"From the first byte of a message that comes in pieces to its last. Later is refused with 1008." default:"30s" group:"Timeouts"`
	PingInterval     time.Duration `help:"Silence after which a client is pinged; up to a quarter earlier, each client at another time." default:"30s" group:"Timeouts"`
	PongTimeout      time.Duration `help:"How long a pinged client may stay silent." default:"15s" group:"Timeouts"`
	StallTimeout     time.Duration `help:"How long a client may take none of the bytes that wait for it." default:"20s" group:"Timeouts"`
	SkipTimeout      time.Duration `help:"The same under the policies skip and latest, which are for clients that may fall behind." default:"5m" group:"Timeouts"`
	CloseTimeout     time.Duration `help:"How long a closing client has to take what it is owed and the Close frame." default:"5s" group:"Timeouts"`
	DrainTimeout     time.Duration `help:"On SIGTERM and SIGINT: how long clients have to go before the gateway exits." default:"10s" group:"Timeouts"`

	Room        []roomRule `help:"What is different in rooms whose names match, as 'ticker.*=latest' or 'logs.*=skip,plain': another slow policy, or plain for no compression. * stands for anything; of several that match the first one counts. Repeatable, or separated by semicolons." sep:";" placeholder:"PATTERN=WORD,…" group:"Rooms"`
	Compress    bool       `help:"Offer permessage-deflate: a message is deflated once for all of a room who take it." default:"true" negatable:"" group:"Rooms"`
	CompressMin Size       `help:"Smallest message that is worth deflating." default:"256B" placeholder:"SIZE" group:"Rooms"`

	LogFormat string `help:"text or json." enum:"text,json" default:"text" group:"Logging"`
	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" group:"Logging"`

	// Budgets keep one connection's turn short; they are not flags, because nobody needs to turn them.
	ReadBudget  int `kong:"-"`
	WriteBudget int `kong:"-"`
	// OverTime is how long a client may go on being over a rate. It is no flag for the same reason.
	OverTime time.Duration `kong:"-"`
	// CostlyTurn is how long a client's turn may take before its next one has to stand in line, and CostlyWork what there must have been
	// to do in it, see conn.read. They are no flags either.
	CostlyTurn time.Duration `kong:"-"`
	CostlyWork int           `kong:"-"`
	// InflaterSize is what a message that is being inflated counts for in --assembly-memory, beside its bytes.
	InflaterSize Size `kong:"-"`

	memory   memorySource
	hasRates bool // of one connection
	origins  wsproto.OriginPolicy
}

// readBudget and writeBudget bound what one connection moves in one turn, in bytes: a fast one must not keep the others of
// its loop waiting for longer than it takes to copy this much.
const (
	readBudget  = readBufferSize
	writeBudget = 64 << 10
)

// timeoutMax is longer than anybody means, and far from where sums of durations overflow.
const timeoutMax = 1000 * time.Hour

// prepare fills in what depends on the machine and refuses what cannot work, naming the flag.
func (c *Config) prepare() error {
	if c.Loops == 0 {
		c.Loops = runtime.GOMAXPROCS(0) // which follows a container's limit of processors
	}
	if c.ReadBudget == 0 {
		c.ReadBudget = readBudget
	}
	if c.WriteBudget == 0 {
		c.WriteBudget = writeBudget
	}
	if c.OverTime == 0 {
		c.OverTime = overTime
	}
	if c.CostlyTurn == 0 {
		c.CostlyTurn = costlyTurn
	}
	if c.CostlyWork == 0 {
		c.CostlyWork = costlyWork
	}
	if c.InflaterSize == 0 {
		c.InflaterSize = inflaterSize
	}
	if c.memory.read == nil {
		c.memory = runtimeMemory()
	}
	c.hasRates = c.FrameRate > 0 || c.PingRate > 0 || c.MessageRate > 0 || c.ByteRate > 0
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Loops < 1 || c.Loops > 1024 {
		refuse("--loops %d: must be 1 to 1024, or 0 for one per core", c.Loops)
	}
	if c.MaxConnections < 1 {
		refuse("--max-connections %d: must be at least 1", c.MaxConnections)
	}
	if c.MaxHTTPConnections < 1 {
		refuse("--max-http-connections %d: must be at least 1", c.MaxHTTPConnections)
	}
	for _, n := range []struct {
		flag  string
		value int
	}{
		{"max-per-address", c.MaxPerAddress},
		{"connect-rate", c.ConnectRate},
		{"max-rooms", c.MaxRooms},
		{"frame-rate", c.FrameRate},
		{"ping-rate", c.PingRate},
		{"message-rate", c.MessageRate},
	} {
		if n.value < 0 {
			refuse("--%s %d: must be at least 1, or 0 for no limit", n.flag, n.value)
		}
	}
	if c.ByteRate > 0 && c.ByteRate < readBufferSize {
		refuse("--byte-rate %v: must be at least %v, what is read at a time, or 0 for no limit", c.ByteRate, Size(readBufferSize))
	}
	if c.MaxFragments < 1 {
		refuse("--max-fragments %d: must be at least 1", c.MaxFragments)
	}
	if c.MaxMessage < 1 || c.MaxMessage > 1<<30 {
		refuse("--max-message %v: must be 1 byte to 1GiB", c.MaxMessage)
	}
	if c.RoomBacklog < c.MaxMessage+wsproto.MaxServerHeader {
		refuse("--room-backlog %v: must exceed --max-message %v, or the largest message could never be delivered", c.RoomBacklog, c.MaxMessage)
	}
	for _, m := range []struct {
		flag  string
		value Size
		least Size
		why   string
	}{
		{"backlog-memory", c.BacklogMemory, c.RoomBacklog, "--room-backlog"},
		{"pinned-memory", c.PinnedMemory, c.MaxMessage + wsproto.MaxServerHeader, "--max-message and a header"},
		{"assembly-memory", c.AssemblyMemory, c.MaxMessage, "--max-message"},
	} {
		if m.value < m.least {
			refuse("--%s %v: must be at least %s, %v", m.flag, m.value, m.why, m.least)
		}
	}
	if c.UnsentBuffer > math.MaxInt32 || c.SendBuffer > math.MaxInt32/2 {
		refuse("--unsent-buffer %v, --send-buffer %v: must be less than 1GiB", c.UnsentBuffer, c.SendBuffer)
	}
	if c.PublishWindow < 1 || c.PublishWindow > c.RoomBacklog {
		refuse("--publish-window %v: must be 1 byte to --room-backlog %v", c.PublishWindow, c.RoomBacklog)
	}
	for _, t := range []struct {
		flag  string
		value time.Duration
	}{
		{"handshake-timeout", c.HandshakeTimeout},
		{"assembly-timeout", c.AssemblyTimeout},
		{"ping-interval", c.PingInterval},
		{"pong-timeout", c.PongTimeout},
		{"stall-timeout", c.StallTimeout},
		{"skip-timeout", c.SkipTimeout},
		{"close-timeout", c.CloseTimeout},
		{"drain-timeout", c.DrainTimeout},
	} {
		if t.value < time.Millisecond || t.value > timeoutMax {
			refuse("--%s %v: must be %v to %v", t.flag, t.value, time.Millisecond, timeoutMax)
		}
	}
	var err error
	if c.origins, err = wsproto.ParseOrigins(c.AllowOrigin); err != nil {
		refuse("--allow-origin: %w", err)
	}
	return errors.Join(problems...)
}

// readMax is the most that one read takes, in bytes.
func (c *Config) readMax() int { return min(readBufferSize, c.ReadBudget) }

// inputMax is the most that one connection holds of input that is not finished, in bytes: a message as it came, as much again for what
// came of it and the byte that would be one too many, an inflater, a control frame's payload, and a read that waits undecoded behind it.
func (c *Config) inputMax() Size {
	return 2*c.MaxMessage + 1 + c.InflaterSize + wsproto.MaxControlPayload + Size(c.readMax())
}

// assemblyShare is what one loop may hold of unfinished messages, in bytes. However little --assembly-memory is, whoever is alone is
// within it, or a client might be closed that did nothing but wait; and others have room for a message beside it.
func (c *Config) assemblyShare() int {
	return int(max(c.AssemblyMemory/Size(c.Loops), c.inputMax()+c.MaxMessage))
}

func (c *Config) limits() hub.Limits {
	return hub.Limits{
		Backlog: int64(c.RoomBacklog), Window: int64(c.PublishWindow),
		Total: int64(c.BacklogMemory), Pinned: int64(c.PinnedMemory), Rooms: c.MaxRooms,
	}
}
