// Package load describes what is asked of a server: the flags of a load, their bounds, and where
// clients connect.
package load

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"strings"
	"time"

	"sluice/loadtest/internal/payload"
	"sluice/reactor"
	"sluice/wsproto"
)

// A UsageError is the caller's mistake: a flag that cannot be, alone or beside others.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap is for errors.Is and errors.As.
func (e UsageError) Unwrap() error { return e.Err }

// Load is what is asked of a server, whichever it is. The flags are its fields, with kong's tags.
// It has to be prepared before it is used, is not changed afterwards, and goes to other processes
// of a run as JSON.
type Load struct {
	Clients    int           `help:"Connections to open." default:"1000" placeholder:"N" group:"Load" short:"c"`
	Publishers int           `help:"How many of the clients send; they hear the others and themselves like everybody." default:"1" placeholder:"N" group:"Load" short:"p"`
	Rooms      int           `help:"Rooms to spread clients and publishers over. More than one needs {room} in the URL." default:"1" placeholder:"N" group:"Load"`
	Size       Sizes         `help:"Payload of a message: bytes, a range as 64..4096, or a mix: chat, state, ticker." default:"64" placeholder:"BYTES" group:"Load" short:"s"`
	Fragmented bool          `help:"Send every message in three frames." group:"Load"`
	Binary     bool          `help:"Send binary messages instead of text." group:"Load"`
	Messages   int           `help:"Messages to send, by all publishers together." default:"1000" placeholder:"N" group:"Load" short:"n"`
	Duration   time.Duration `help:"Send for this long instead of --messages." placeholder:"TIME" group:"Load" short:"d"`
	Window     int           `help:"Messages that a publisher may have on their way: the next is sent when everybody has all but this many." default:"1" placeholder:"N" group:"Load" short:"w"`
	Rate       float64       `help:"Open loop: send this many messages a second, all publishers together, whatever the server does. Latency counts from when a message was due." default:"0" placeholder:"RATE" group:"Load" short:"r"`
	Warmup     int           `help:"Messages to send before the measurement begins." default:"20" placeholder:"N" group:"Load"`

	Stalled int     `help:"Clients that join and never read." default:"0" placeholder:"N" group:"Crowd"`
	Slow    Slow    `help:"Clients that read so many bytes a second." default:"0@1" placeholder:"N@RATE" group:"Crowd"`
	Churn   float64 `help:"Clients that leave and return, a second." default:"0" placeholder:"RATE" group:"Crowd"`
	Storm   Share   `help:"This share of the clients, or of those that read events (--sse), drops at once in the middle of the run and returns." default:"0%" placeholder:"SHARE" group:"Crowd"`
	Resume  bool    `help:"Those of the --storm go on where they were, and are held to every message of the run or a reset that says so. One that is refused for the moment tries again, eight times at most. It takes --sse or --protocol centrifuge, and a server that tells positions." group:"Crowd"`

	Protocol       string   `help:"What goes over a WebSocket: messages alone (plain), or the Centrifuge protocol (centrifuge), where every room is a channel." enum:"plain,centrifuge" default:"plain" placeholder:"NAME" group:"Server"`
	Format         string   `help:"What --protocol centrifuge is written in: json, or protobuf." enum:"json,protobuf" default:"json" placeholder:"NAME" group:"Server"`
	RoomsPerClient int      `help:"Rooms that each client subscribes to over its connection, with --protocol centrifuge." default:"1" placeholder:"N" group:"Server"`
	Header         []string `help:"A further request header, as 'Name: value'. Repeatable." sep:"none" placeholder:"LINE" group:"Server"`
	Origin         string   `help:"The Origin header." group:"Server"`
	Subprotocol    []string `help:"A WebSocket subprotocol to offer. Repeatable." placeholder:"NAME" group:"Server"`
	SSE            int      `name:"sse" help:"So many of the clients read the rooms' messages as server-sent events instead of by a WebSocket." default:"0" placeholder:"N" group:"Server"`
	SSEPath        string   `name:"sse-path" help:"Path and query of events, with {room} for the room's name. Without it the URL's, with sse in place of ws." placeholder:"PATH" group:"Server"`
	PublishAt      string   `help:"Publishers connect to this server of the same rooms instead, by the URL's path: another one of a cluster." placeholder:"HOST:PORT" group:"Server"`
	Contains       bool     `help:"The server wraps messages: look for ours inside of them. It must leave the payload as it is." group:"Server"`
	NoEcho         bool     `help:"The server does not send a message back to its sender." group:"Server"`

	Compress bool `help:"Offer permessage-deflate, and inflate what comes compressed. Our own messages are sent as they are." group:"Server"`
	Insecure bool `help:"Take any certificate of a wss:// server." group:"Server"`

	Processes      int           `help:"Processes of the load test. 0 means as many as the clients' descriptors need." default:"0" placeholder:"N" group:"Tool"`
	Loops          int           `help:"Event loops of each process. 0 means half of the cores, divided by the processes." default:"0" placeholder:"N" group:"Tool"`
	Ramp           float64       `help:"Connect at most this many clients a second. 0 means as fast as the server takes them." default:"0" placeholder:"RATE" group:"Tool"`
	Settle         time.Duration `help:"Pause between the last connection and the first message." default:"200ms" group:"Tool"`
	ConnectTimeout time.Duration `help:"How long one connection may take to open." default:"10s" group:"Tool"`
	LossTimeout    time.Duration `help:"How long nothing may arrive before a message that somebody does not get is no longer waited for. It counts as lost if it does not come until the end either." default:"2s" group:"Tool"`
	Drain          time.Duration `help:"How long to wait for the rest when the last message was sent, while something comes. What still came then is unfinished, not lost." default:"30s" group:"Tool"`

	Sample bool `kong:"-"` // the report shows the run over time
}

// Calm is the load without its crowd: what the readers would have by themselves.
func (c Load) Calm() *Load {
	if c.SSE > 0 {
		c.SSE -= c.StormSize()
	}
	c.Clients = c.CrowdSizes()[KindReader]
	c.Stalled, c.Slow, c.Churn, c.Storm, c.Resume = 0, Slow{}, 0, 0, false
	return &c
}

const (
	// processesMax bounds --processes: each holds a pipe to each other.
	processesMax = 64
	// descriptorsKept are not for clients: pipes, pollers, files, and the second descriptor that a
	// TLS handshake takes.
	descriptorsKept = 512
)

// maxWindow keeps the room for messages on their way, which all publishers and loops have, small.
const maxWindow = 4096

// Prepare fills in what depends on the machine and refuses what cannot work: the error is a
// UsageError that names every flag that is wrong.
func (c *Load) Prepare() error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	inRange := func(flag string, value, low, high int) {
		if value < low || value > high {
			refuse("--%s %d: must be %d to %d", flag, value, low, high)
		}
	}
	inRange("clients", c.Clients, 1, 1<<20)
	inRange("rooms", c.Rooms, 1, 1<<16)
	inRange("publishers", c.Publishers, 1, payload.PublisherMax+1)
	inRange("messages", c.Messages, 1, 1<<30)
	inRange("window", c.Window, 1, maxWindow)
	inRange("warmup", c.Warmup, 0, 1<<20)
	inRange("loops", c.Loops, 0, 256)
	inRange("processes", c.Processes, 0, min(processesMax, c.Clients))
	if c.Size.smallest() < payload.SizeMin {
		refuse("--size %v: a message needs %d bytes to prove that it arrived: who sent it, its number, its time, a checksum", c.Size, payload.SizeMin)
	} else {
		inRange("size", c.Size.Largest(), payload.SizeMin, payload.SizeMax)
	}
	switch n := c.CrowdSizes()[KindReader]; {
	case c.SSE < 0 || c.SSE > max(0, c.Clients-c.Publishers):
		refuse("--sse %d: must be 0 to %d, for of --clients %d some have to publish, which events cannot", c.SSE, c.Clients-c.Publishers, c.Clients)
	case n < c.Publishers:
		refuse("--clients %d: too few for the publishers and the crowd", c.Clients)
	}
	c.checkProtocol(refuse)
	c.checkResume(refuse)
	if c.Rooms > c.Clients {
		refuse("--rooms %d: there are %d clients for them", c.Rooms, c.Clients)
	}
	for _, line := range c.Header {
		if name, _, ok := strings.Cut(line, ":"); !ok || name == "" || strings.ContainsAny(line, "\r\n") {
			refuse("--header %q: write 'Name: value'", line)
		}
	}
	for _, t := range []struct {
		flag  string
		value time.Duration
	}{{"connect-timeout", c.ConnectTimeout}, {"loss-timeout", c.LossTimeout}} {
		if t.value <= 0 {
			refuse("--%s %v: must be positive", t.flag, t.value)
		}
	}
	if c.Duration < 0 || c.Settle < 0 || c.Ramp < 0 || c.Rate < 0 || c.Churn < 0 || c.Stalled < 0 || c.Drain < 0 {
		refuse("times, rates and numbers must not be negative")
	}
	if c.Rate > 0 && c.Duration > 0 {
		c.Messages = int(c.Rate * c.Duration.Seconds())
		inRange("rate times --duration", c.Messages, 1, 1<<30)
	}
	if len(problems) == 0 {
		problems = append(problems, c.divide())
	}
	if err := errors.Join(problems...); err != nil {
		return UsageError{err}
	}
	return nil
}

// checkResume refuses a resumption by nobody. That a server gives no positions shows in the run.
func (c *Load) checkResume(refuse func(format string, args ...any)) {
	switch {
	case !c.Resume:
	case c.SSE == 0 && c.Protocol != Centrifuge:
		refuse("--resume: only who is told positions knows where it was: say how many read events with --sse, or --protocol centrifuge. A plain WebSocket client is not told")
	case c.StormSize() == 0:
		refuse("--resume: nobody drops who could resume: say --storm 30%%. Of --clients %d and --sse %d, --storm %v takes none", c.Clients, c.SSE, float64(c.Storm))
	}
}

const (
	Centrifuge = "centrifuge" // the Protocol of channels …
	Protobuf   = "protobuf"   // … and a Format of it, beside JSON
)

// checkProtocol refuses what the protocol cannot do. A load that was not made of flags has plain
// messages and one room for each client.
func (c *Load) checkProtocol(refuse func(format string, args ...any)) {
	c.RoomsPerClient = max(c.RoomsPerClient, 1)
	switch {
	case c.Protocol != Centrifuge && c.RoomsPerClient > 1:
		refuse("--rooms-per-client %d: a plain WebSocket is in one room: say --protocol centrifuge", c.RoomsPerClient)
	case c.RoomsPerClient > c.Rooms:
		refuse("--rooms-per-client %d: there are --rooms %d", c.RoomsPerClient, c.Rooms)
	case c.Protocol == Centrifuge && c.Binary:
		refuse("--binary: what --protocol centrifuge publishes is text, in both formats")
	case c.Protocol != Centrifuge && c.Format == Protobuf:
		refuse("--format protobuf: messages alone are what they are: say --protocol centrifuge")
	}
}

// divide settles the number of processes and of loops.
func (c *Load) divide() error {
	if c.Processes == 0 {
		limit, err := reactor.DescriptorLimit()
		if err != nil {
			limit = 1 << 21 // Nobody knows: connections that fail will say so.
		}
		each := max(1, int(min(limit, 1<<21))-descriptorsKept)
		c.Processes = (c.Clients + each - 1) / each
		if c.Processes > processesMax {
			return fmt.Errorf("--clients %d: more than %d processes with %d descriptors each can have", c.Clients, processesMax, limit)
		}
	}
	if c.Loops == 0 {
		c.Loops = max(1, runtime.NumCPU()/2/c.Processes)
	}
	return nil
}

// EventsHeaderLines are a request for events' further lines, without line ends.
func (c *Load) EventsHeaderLines() []string {
	lines := append([]string(nil), c.Header...)
	if c.Origin != "" {
		lines = append(lines, "Origin: "+c.Origin)
	}
	return lines
}

// HeaderLines are an upgrade's further lines, without line ends.
func (c *Load) HeaderLines() []string {
	lines := c.EventsHeaderLines()
	if c.Compress {
		lines = append(lines, wsproto.DeflateOffer)
	}
	offer := c.Subprotocol
	if c.Format == Protobuf {
		offer = append([]string{"centrifuge-protobuf"}, offer...)
	}
	if len(offer) > 0 {
		lines = append(lines, "Sec-WebSocket-Protocol: "+strings.Join(offer, ", "))
	}
	return lines
}

// openSlots is how many messages of an open loop, of all publishers, can be followed on their way.
const openSlots = 1 << 14

// SlotsPerStream is how many messages of one publisher can be followed on their way: a power of
// two.
func (c *Load) SlotsPerStream() int {
	window := uint(c.Window)
	if c.Rate > 0 {
		window = max(window, openSlots/uint(c.Publishers))
	}
	return 1 << bits.Len(window)
}
