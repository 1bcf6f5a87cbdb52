package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os/user"
	"strconv"
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
	writeBudget       int           // bytes that one connection writes in one turn
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
	// longer than it takes to copy this much.
	readBudget  = readBufferSize
	writeBudget = 64 << 10
	// overTime is how long a client may go on sending more than a rate allows. It is held to the
	// rate meanwhile.
	overTime = 10 * time.Second
	// costlyTurn is well beyond what reading and publishing a budget of ordinary messages takes;
	// costlyWork is what there was to do in it, or the loop only waited for a processor.
	costlyTurn = 250 * time.Microsecond
	costlyWork = 1024
	// walkTime is as long as a loop's other turns.
	walkTime = 250 * time.Microsecond
	// homeMax is as many as one loop delivers to in the time in which another is woken and has begun,
	// several times over.
	homeMax = 64
	// inflaterSize is a window, code tables and the stack that they are used on.
	inflaterSize = 64 << 10
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
	c.MaxLifetime = max(0, c.MaxLifetime)
	for _, n := range []*int64{&c.InflateRate, &c.ByteRate, &c.MinReadRate, &c.UnsentBuffer, &c.SendBuffer, &c.CompressMin} {
		*n = max(0, *n)
	}
	c.DrainDelay = max(0, c.DrainDelay)

	setDefault(&c.readBudget, readBudget)
	setDefault(&c.writeBudget, writeBudget)
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
		{"AuthRequests", c.AuthRequests},
		{"MaxFragments", c.MaxFragments},
		{"MaxSubscriptions", c.MaxSubscriptions},
		{"TLSHandshakes", c.TLSHandshakes},
		{"TLSRunning", c.TLSRunning},
	} {
		if n.value < 1 {
			refuse(n.field, "%d is less than 1", n.value)
		}
	}
	if c.MaxHead < headMin || c.MaxHead > headMax {
		refuse("MaxHead", "%d is not %d to %d", c.MaxHead, headMin, headMax)
	}
	if c.ByteRate > 0 && c.ByteRate < readBufferSize {
		refuse("ByteRate", "%d is less than %d, what is read at a time", c.ByteRate, readBufferSize)
	}
	if c.InflateRate > inflateRateMax {
		refuse("InflateRate", "%d is more than %d", c.InflateRate, int64(inflateRateMax))
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
		{"HeadMemory", c.HeadMemory, c.MaxHead, "MaxHead"},
	} {
		if m.value < m.least {
			refuse(m.field, "%d is less than %s, %d", m.value, m.why, m.least)
		}
	}
	if c.MinReadRate > math.MaxInt32 {
		refuse("MinReadRate", "%d is more than %d", c.MinReadRate, math.MaxInt32)
	}
	if c.UnsentBuffer > math.MaxInt32 {
		refuse("UnsentBuffer", "%d is more than %d", c.UnsentBuffer, math.MaxInt32)
	}
	if c.SendBuffer > math.MaxInt32/2 {
		refuse("SendBuffer", "%d is more than %d", c.SendBuffer, math.MaxInt32/2)
	}
	if c.ReplyBacklog < replyBacklogMin {
		refuse("ReplyBacklog", "%d is less than %d", c.ReplyBacklog, replyBacklogMin)
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
		{"ClusterTimeout", c.ClusterTimeout},
	} {
		if t.value < time.Millisecond || t.value > timeoutMax {
			refuse(t.field, "%v is not %v to %v", t.value, time.Millisecond, timeoutMax)
		}
	}
	if c.DrainDelay > timeoutMax {
		refuse("DrainDelay", "%v is more than %v", c.DrainDelay, timeoutMax)
	}
	if c.MaxLifetime > 0 && (c.MaxLifetime < time.Second || c.MaxLifetime > timeoutMax) {
		refuse("MaxLifetime", "%v is not %v to %v", c.MaxLifetime, time.Second, timeoutMax)
	}
	if fault := prefixFault(c.PathPrefix); fault != "" {
		refuse("PathPrefix", "%q %s", c.PathPrefix, fault)
	}
	for i, r := range c.Rooms {
		if fault := patternFault(r.Pattern); fault != "" {
			refuse("Rooms", "rule %q can count for no room: %s", r.Pattern, fault)
		}
		if fault := r.contradiction(); fault != "" {
			refuse("Rooms", "rule %q: %s", r.Pattern, fault)
		}
		if shadow(c.Rooms, i) {
			refuse("Rooms", "rule %q never counts: another one before it says the same or something else of this pattern", r.Pattern)
		}
	}
	c.checkHistory(refuse)
	c.anonymous = c.makeAnonymous()
	for i := range c.Anonymous {
		if fault := c.Anonymous[i].fault(); fault != "" {
			refuse("Anonymous", "%s", fault)
		}
	}
	if c.AuthCookie != "" && (c.Auth == nil || !wsproto.IsSubprotocol(c.AuthCookie)) { // Both are tokens.
		refuse("AuthCookie", "%q is of no use: it must be the name of a cookie, and there must be Auth", c.AuthCookie)
	}
	for _, origin := range c.AllowOrigin {
		if (origin == "*" || origin == "null") && c.readsCookies() {
			refuse("AllowOrigin", "%q with cookies lets any page act for whoever visits it: list the origins of your own pages", origin)
		}
	}
	if c.SocketMode&^fs.ModePerm != 0 {
		refuse("SocketMode", "%#o is not 0 to 0777", uint32(c.SocketMode))
	}
	for _, p := range c.TLSPairs {
		if p.Cert == "" || p.Key == "" {
			refuse("TLSPairs", "a certificate and its key are two files, and one is not named: %q, %q", p.Cert, p.Key)
		}
	}
	if c.TLSClientCA != "" && c.TLS == nil && len(c.TLSPairs) == 0 {
		refuse("TLSClientCA", "there is no certificate to show to clients of it")
	}
	if c.Flush > FlushRing {
		refuse("Flush", "%d is none", c.Flush)
	}
	if c.ForwardedHeader > NoForwarded {
		refuse("ForwardedHeader", "%d is none", c.ForwardedHeader)
	}
	c.socketGroup = -1
	if c.SocketGroup != "" {
		id, err := groupID(c.SocketGroup)
		if err != nil {
			refuse("SocketGroup", "%w", err)
		}
		c.socketGroup = id
	}
	for _, name := range c.Subprotocols {
		if !wsproto.IsSubprotocol(name) {
			refuse("Subprotocols", "%q is not a subprotocol's name: it must be a token of RFC 9110, such as mqtt or v1.chat.example.com", name)
		}
	}
	var err error
	if c.origins, err = wsproto.ParseOrigins(c.AllowOrigin); err != nil {
		refuse("AllowOrigin", "%w", err)
	}
	if c.hosts, err = wsproto.ParseHosts(c.AllowHost); err != nil {
		refuse("AllowHost", "%w", err)
	}
	return errors.Join(problems...)
}

// groupID is the number of a group, which may be given itself.
func groupID(group string) (int, error) {
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(id), nil
	}
	found, err := user.LookupGroup(group)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(found.Gid)
}

// MessageHeaderMax is the most that a message takes in a room's log beside its bytes.
const MessageHeaderMax = wsproto.MaxServerHeader

const (
	loopsMax   = 1024
	messageMax = 1 << 30
	// inflateRateMax is more than any machine inflates, and far from where sums of it overflow.
	inflateRateMax = 1 << 40
	// replyBacklogMin is the replies of one turn.
	replyBacklogMin = repliesTurn
	headMin         = 1 << 10 // a browser's handshake takes half of it
	headMax         = 1 << 20
)

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

// lingerMax is how much of a closed client's input is read and dropped, in bytes.
func (c *config) lingerMax() int64 { return max(lingerBytes, 4*c.MaxMessage) }

func (c *config) limits() hub.Limits {
	histories := int64(0)
	if c.keepsHistory() {
		histories = c.HistoryMemory
	}
	return hub.Limits{
		History: histories,
		Backlog: c.RoomBacklog, Window: c.PublishWindow,
		Total: c.BacklogMemory, Pinned: c.PinnedMemory, Rooms: c.MaxRooms, Turn: c.writeBudget,
		Small:   max(0, c.homeMax),
		MinRate: max(1, c.MinReadRate), // Whoever takes anything has a vote for as long as there are.
	}
}

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

// subprotocol is the first that a client offers and Options.Subprotocols has; else bearer, if it has
// a token that way; empty for none.
func (c *config) subprotocol(r *wsproto.Request) string {
	if len(c.Subprotocols) == 0 && c.Auth == nil {
		return ""
	}
	answer, isToken := "", false
	for offered := range r.Subprotocols {
		if isToken { // Whatever it may resemble.
			isToken = false
			continue
		}
		for _, ours := range c.Subprotocols {
			if string(offered) == ours {
				return ours
			}
		}
		if c.Auth != nil && string(offered) == bearer {
			answer, isToken = bearer, true
		}
	}
	return answer
}
