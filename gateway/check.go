package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"sluice/wsproto"
)

// optionFaults are what is wrong with options, each an *OptionError, in the order in which it was
// found.
type optionFaults []error

func (f *optionFaults) refuse(field, format string, args ...any) {
	*f = append(*f, &OptionError{field, fmt.Errorf(format, args...)})
}

// check refuses what cannot work: all of it, so that an operator mends it in one go. What stands in
// words and is needed as something else is read here.
func (c *config) check() error {
	var f optionFaults
	c.checkNumbers(&f)
	c.checkSizes(&f)
	c.checkRates(&f)
	c.checkTimes(&f)
	c.checkRooms(&f)
	c.checkHistory(&f)
	c.checkWhoMay(&f)
	c.checkTLS(&f)
	c.checkChoices(&f)
	c.readWords(&f)
	return errors.Join(f...)
}

const (
	loopsMax = 1024
	// messageMax is for frames of less than 4 GiB: a log counts in 32 bits, and a byte may become
	// seven in an event.
	messageMax = 1 << 29
	// httpConnectionsMax is more than there are descriptors for: each takes two, and has its place
	// from the start.
	httpConnectionsMax = 1 << 20
	// inflateRateMax is more than any machine inflates, and far from where sums of it overflow.
	inflateRateMax = 1 << 40
	// replyBacklogMin is the replies of one turn.
	replyBacklogMin = repliesTurn
	headMin         = 1 << 10 // a browser's handshake takes half of it
	headMax         = 1 << 20
)

// checkNumbers is for how many there may be of something: none would be a gateway that does
// nothing.
func (c *config) checkNumbers(f *optionFaults) {
	if c.Loops < 1 || c.Loops > loopsMax {
		f.refuse("Loops", "%d is not 1 to %d", c.Loops, loopsMax)
	}
	if c.MaxHTTPConnections < 1 || c.MaxHTTPConnections > httpConnectionsMax {
		f.refuse("MaxHTTPConnections", "%d is not 1 to %d", c.MaxHTTPConnections, httpConnectionsMax)
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"MaxConnections", c.MaxConnections},
		{"AuthRequests", c.AuthRequests},
		{"MaxFragments", c.MaxFragments},
		{"MaxSubscriptions", c.MaxSubscriptions},
		{"TLSHandshakes", c.TLSHandshakes},
		{"TLSRunning", c.TLSRunning},
	} {
		if n.value < 1 {
			f.refuse(n.field, "%d is less than 1", n.value)
		}
	}
}

// checkSizes is for bytes: the largest message and head have to fit wherever they lie.
func (c *config) checkSizes(f *optionFaults) {
	if c.MaxHead < headMin || c.MaxHead > headMax {
		f.refuse("MaxHead", "%d is not %d to %d", c.MaxHead, headMin, headMax)
	}
	if c.MaxMessage < 1 || c.MaxMessage > messageMax {
		f.refuse("MaxMessage", "%d is not 1 to %d", c.MaxMessage, messageMax)
	}
	if c.RoomBacklog < c.MaxMessage+wsproto.MaxServerHeader {
		f.refuse("RoomBacklog", "%d is not more than MaxMessage, %d: the largest message could never be delivered", c.RoomBacklog, c.MaxMessage)
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
			f.refuse(m.field, "%d is less than %s, %d", m.value, m.why, m.least)
		}
	}
	if c.UnsentBuffer > math.MaxInt32 {
		f.refuse("UnsentBuffer", "%d is more than %d", c.UnsentBuffer, math.MaxInt32)
	}
	if c.SendBuffer > math.MaxInt32/2 {
		f.refuse("SendBuffer", "%d is more than %d", c.SendBuffer, math.MaxInt32/2)
	}
	if c.ReplyBacklog < replyBacklogMin {
		f.refuse("ReplyBacklog", "%d is less than %d", c.ReplyBacklog, replyBacklogMin)
	}
	if c.PublishWindow < 1 || c.PublishWindow > c.RoomBacklog {
		f.refuse("PublishWindow", "%d is not 1 to RoomBacklog, %d", c.PublishWindow, c.RoomBacklog)
	}
}

// checkRates is for bytes a second.
func (c *config) checkRates(f *optionFaults) {
	if c.ByteRate > 0 && c.ByteRate < readBufferSize {
		f.refuse("ByteRate", "%d is less than %d, what is read at a time", c.ByteRate, readBufferSize)
	}
	if c.InflateRate > inflateRateMax {
		f.refuse("InflateRate", "%d is more than %d", c.InflateRate, int64(inflateRateMax))
	}
	if c.MinReadRate > math.MaxInt32 {
		f.refuse("MinReadRate", "%d is more than %d", c.MinReadRate, math.MaxInt32)
	}
}

func (c *config) checkTimes(f *optionFaults) {
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
			f.refuse(t.field, "%v is not %v to %v", t.value, time.Millisecond, timeoutMax)
		}
	}
	if c.DrainDelay > timeoutMax {
		f.refuse("DrainDelay", "%v is more than %v", c.DrainDelay, timeoutMax)
	}
	if c.MaxLifetime > 0 && (c.MaxLifetime < time.Second || c.MaxLifetime > timeoutMax) {
		f.refuse("MaxLifetime", "%v is not %v to %v", c.MaxLifetime, time.Second, timeoutMax)
	}
}

// checkRooms refuses rules that can count for no room.
func (c *config) checkRooms(f *optionFaults) {
	for i, r := range c.Rooms {
		if fault := patternFault(r.Pattern); fault != "" {
			f.refuse("Rooms", "rule %q can count for no room: %s", r.Pattern, fault)
		}
		if fault := r.contradiction(); fault != "" {
			f.refuse("Rooms", "rule %q: %s", r.Pattern, fault)
		}
		if shadow(c.Rooms, i) {
			f.refuse("Rooms", "rule %q never counts: another one before it says the same or something else of this pattern", r.Pattern)
		}
	}
}

// checkWhoMay is for who is let in, and what pages may do with their visitors' cookies.
func (c *config) checkWhoMay(f *optionFaults) {
	for i := range c.Anonymous {
		if fault := c.Anonymous[i].fault(); fault != "" {
			f.refuse("Anonymous", "%s", fault)
		}
	}
	if c.AuthCookie != "" && (c.Auth == nil || !wsproto.IsSubprotocol(c.AuthCookie)) { // Both are tokens.
		f.refuse("AuthCookie", "%q is of no use: it must be the name of a cookie, and there must be Auth", c.AuthCookie)
	}
	for _, origin := range c.AllowOrigin {
		if (origin == "*" || origin == "null") && c.readsCookies() {
			f.refuse("AllowOrigin", "%q with cookies lets any page act for whoever visits it: list the origins of your own pages", origin)
		}
	}
}

func (c *config) checkTLS(f *optionFaults) {
	for _, p := range c.TLSPairs {
		if p.Cert == "" || p.Key == "" {
			f.refuse("TLSPairs", "a certificate and its key are two files, and one is not named: %q, %q", p.Cert, p.Key)
		}
	}
	if c.TLSClientCA != "" && c.TLS == nil && len(c.TLSPairs) == 0 {
		f.refuse("TLSClientCA", "there is no certificate to show to clients of it")
	}
}

// checkChoices is for what is one of a few.
func (c *config) checkChoices(f *optionFaults) {
	if c.SocketMode&^fs.ModePerm != 0 {
		f.refuse("SocketMode", "%#o is not 0 to 0777", uint32(c.SocketMode))
	}
	if c.Flush > FlushRing {
		f.refuse("Flush", "%d is none", c.Flush)
	}
	if c.ForwardedHeader > NoForwarded {
		f.refuse("ForwardedHeader", "%d is none", c.ForwardedHeader)
	}
}

// readWords is for names that have a syntax, and keeps what some of them stand for.
func (c *config) readWords(f *optionFaults) {
	if fault := prefixFault(c.PathPrefix); fault != "" {
		f.refuse("PathPrefix", "%q %s", c.PathPrefix, fault)
	}
	for _, name := range c.Subprotocols {
		if !wsproto.IsSubprotocol(name) {
			f.refuse("Subprotocols", "%q is not a subprotocol's name: it must be a token of RFC 9110, such as mqtt or v1.chat.example.com", name)
		}
	}
	var err error
	if c.socketGroup, err = groupID(c.SocketGroup); err != nil {
		f.refuse("SocketGroup", "%w", err)
	}
	if c.origins, err = wsproto.ParseOrigins(c.AllowOrigin); err != nil {
		f.refuse("AllowOrigin", "%w", err)
	}
	if c.hosts, err = wsproto.ParseHosts(c.AllowHost); err != nil {
		f.refuse("AllowHost", "%w", err)
	}
}

// prepare fills in defaults and what follows from them, and refuses what cannot work.
func (c *config) prepare() error {
	c.fill()
	c.hasRates = c.FrameRate > 0 || c.PingRate > 0 || c.MessageRate > 0 || c.ByteRate > 0
	c.anonymous = c.makeAnonymous()
	return c.check()
}

// Validate reports everything that is wrong with o: nil, or an error that joins one *OptionError
// for each field.
func (o Options) Validate() error {
	c := config{Options: o}
	return c.prepare()
}

// checkHistory refuses rules that cannot be kept to.
func (c *config) checkHistory(f *optionFaults) {
	most := int64(1)
	for i := range c.History {
		r := &c.History[i]
		if fault := r.fault(); fault != "" {
			f.refuse("History", "rule %q: %s", r.Pattern, fault)
		}
		for j := range c.History[:i] {
			if c.History[j].Pattern == r.Pattern {
				f.refuse("History", "rule %q never counts: another one before it is for the same pattern", r.Pattern)
			}
		}
		most = max(most, r.Bytes)
	}
	switch {
	case c.HistoryMemory < most:
		f.refuse("HistoryMemory", "%d is less than what a rule of History lets one room keep, %d", c.HistoryMemory, most)
	case c.keepsHistory() && c.HistoryMemory < c.RoomBacklog:
		f.refuse("HistoryMemory", "%d is less than RoomBacklog, %d, which is a part of it", c.HistoryMemory, c.RoomBacklog)
	}
}

// fault says what is wrong with a rule that has its defaults; empty if it can be kept to.
func (r *HistoryRule) fault() string {
	if fault := patternFault(r.Pattern); fault != "" {
		return "can count for no room: " + fault
	}
	switch {
	case r.None && (r.Messages != 0 || r.Bytes != 0 || r.Age != 0):
		return "none is nothing kept, so no bound can stand beside it"
	case r.None:
	case r.Messages < 0:
		return fmt.Sprintf("messages: %d is less than 1", r.Messages)
	case r.Bytes < historyBytesMin:
		return fmt.Sprintf("bytes: %d is less than %d", r.Bytes, historyBytesMin)
	case r.Age < time.Second || r.Age > timeoutMax:
		return fmt.Sprintf("age: %v is not %v to %v", r.Age, time.Second, timeoutMax)
	}
	return ""
}

// historyBytesMin is where there is room for a message or two.
const historyBytesMin = 1 << 10
