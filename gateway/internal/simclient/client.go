//go:build linux

package simclient

import (
	"errors"
	"fmt"
	"syscall"

	"sluice/reactor/reactortest"
)

// A kind is what becomes of a client.
type kind uint8

const (
	good     kind = iota // reads what there is
	slow                 // reads a few bytes at a time
	pauser               // reads nothing for a while
	deaf                 // never reads
	violator             // breaks the protocol
	half                 // ends its stream and reads on
	resetter             // resets the connection, wherever it is
	dropper              // closes without a word
	leaver               // says Close
	Bad                  // its request is malformed, or never whole
	outside              // no client: a program that has the server publish
	voice                // no client: what a subscriber says in one room over one connection
	kinds
)

// weights say how many clients of each kind there are among a hundred.
var weights = [kinds]int{good: 38, slow: 14, pauser: 12, deaf: 5, violator: 6, half: 5, resetter: 5, dropper: 5, leaver: 6, Bad: 4}

// A Client is one client: a script, what it has sent, and what it has received so far.
type Client struct {
	w     *World
	No    int
	Room  int
	Kind  kind
	Peer  *reactortest.Peer
	start int // step at which it dials
	turns int // of its own, until it does what its kind does
	pause int // step at which a pauser reads on
	sip   int // most bytes that a slow reader takes

	quota     int // messages still to send
	Wants     int // with how many of the messages that its room keeps it asks to begin
	isHasty   bool
	isLeaving bool // its part of the end has begun
	lastWords bool // the message that ends the recovery is sent
	out       []byte
	Sent      []*Message
	pings     int
	lastPing  int // number of the newest ping that was answered
	Asked     int // step at which its request began, or zero
	Bye       int // code of the Close frame it has sent, or zero
	Violation int // close code that its violation deserves, or zero
	IsHalf    bool
	isDeaf    bool // nothing more can be sent
	wasReset  bool // a write has said so
	IsClosed  bool

	offers bool // permessage-deflate
	Intake Intake

	In         []byte
	IsUpgraded bool
	Deflates   bool // as agreed
	Status     int  // of a refusal
	Last       *Message
	Got        []*Message // with a lossy policy
	Seen       []int      // by client: the number of its next message, or -1
	Floor      []int      // by client: how many it had sent when we were answered
	Code       int        // of the Close frame that came, or zero
	HasReason  bool       // the gateway has said why it ends it
	Judge      Judge
}

// isGood says that nothing in the client's script ends it.
func (c *Client) isGood() bool { return c.Kind <= pauser }

// Speaks says that others may expect to hear what the client has said.
func (c *Client) Speaks() bool {
	return c.isGood() && c.isHere() || c.Kind == outside || c.Kind == voice && !c.IsClosed
}

// isHere says that the client may expect to be served.
func (c *Client) isHere() bool {
	return c.Peer != nil && c.IsUpgraded && !c.IsClosed && c.Code == 0 && !c.HasReason && !c.Peer.IsDoomed()
}

// Fail notes what is wrong with what the client hears.
func (c *Client) Fail(format string, args ...any) {
	c.w.Fail("client %d (connection %d): %s", c.No, c.Peer.No(), fmt.Sprintf(format, args...))
}

// Act is a turn of the client. It reports whether there was anything to do.
func (c *Client) Act() bool {
	switch {
	case c.IsClosed || c.w.Err != nil:
		return false
	case c.Kind == outside:
		return c.actFromOutside()
	case c.Peer == nil:
		return c.dial()
	}
	c.turns--
	calm := c.w.IsHealing
	busy := false
	if c.wantsToRead() && (calm || c.w.Random.IntN(2) == 0) {
		busy = c.receive()
	}
	if c.IsClosed || c.w.Err != nil {
		return true
	}
	if (c.turns < 0 || calm) && c.doIt() {
		return true
	}
	return !c.IsClosed && c.transmit() || busy
}

func (c *Client) dial() bool {
	if c.w.Steps < c.start && !c.w.IsHealing {
		return false
	}
	c.w.Kernel.SetBuffers(c.w.Plan.newBuffers(c.w.Random))
	p, err := c.w.Kernel.Dial(c.w.Listen)
	if err != nil {
		if !errors.Is(err, syscall.EAGAIN) {
			c.IsClosed = true // Nobody listens any more.
		}
		return false
	}
	c.Peer = p
	c.w.Kernel.Note("client %d of room %d, kind %d, is connection %d", c.No, c.Room, c.Kind, p.No())
	return true
}

// doIt does, once, what clients of this kind do.
func (c *Client) doIt() bool {
	switch {
	case c.Kind == resetter:
		c.close(c.Peer.Reset)
	case c.Kind == dropper:
		c.close(c.Peer.Close)
	case c.Kind == half && !c.IsHalf && c.Bye == 0:
		c.IsHalf, c.out = true, nil // In the middle of whatever it was.
		if err := c.Peer.CloseWrite(); err != nil {
			c.isDeaf = true
		}
	case !c.IsUpgraded:
		return false
	case c.Kind == violator && c.Violation == 0 && c.Bye == 0:
		c.violate()
	case c.Kind == leaver && c.Bye == 0:
		c.sayClose([]int{1000, 1001, 3000, 4999, noStatus}[c.w.Random.IntN(5)])
	default:
		return false
	}
	return true
}

func (c *Client) close(how func()) {
	c.IsClosed = true
	how()
}

// mayTalk says that messages may still be sent.
func (c *Client) mayTalk() bool {
	return c.Bye == 0 && c.Violation == 0 && !c.IsHalf && !c.isDeaf && c.Status == 0
}

// transmit sends some of what is to be sent, or thinks of something.
func (c *Client) transmit() bool {
	if len(c.out) == 0 {
		c.compose()
	}
	if len(c.out) == 0 || c.IsHalf {
		return false
	}
	n := len(c.out)
	if !c.w.IsHealing && c.w.Random.IntN(2) == 0 {
		n = 1 + c.w.Random.IntN(n)
	}
	n, err := c.Peer.Write(c.out[:n])
	switch {
	case err == nil:
		c.out = c.out[n:]
		return true
	case errors.Is(err, syscall.EAGAIN):
		return false
	}
	c.out, c.isDeaf, c.wasReset = nil, true, true
	return true
}

func (c *Client) wantsToRead() bool {
	switch {
	case c.Kind == deaf:
		return false
	case c.w.IsHealing:
		return true
	case c.Kind == pauser:
		return c.w.Steps < c.start+20 || c.w.Steps >= c.pause
	case c.Kind == slow:
		return c.w.Random.IntN(4) == 0
	}
	return true
}

// receive takes some of what has arrived.
func (c *Client) receive() bool {
	buf := c.w.buf[:]
	if c.Kind == slow && !c.w.IsHealing {
		buf = buf[:c.sip]
	}
	n, err := c.Peer.Read(buf)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err == nil && n > 0:
		c.In = append(c.In, buf[:n]...)
		c.parse()
		return true
	}
	c.ended(err)
	return true
}

// Leave begins the client's part of the end.
func (c *Client) Leave() {
	c.isLeaving = true
	switch {
	case c.IsClosed:
	case c.Peer == nil:
		c.IsClosed = true
	case c.Kind == deaf:
		c.close(c.Peer.Reset)
	case c.w.IsDraining || !c.IsUpgraded || !c.mayTalk():
		// It will be told, or its script has ended it already.
	default:
		switch c.w.Random.IntN(4) {
		case 0:
			c.close(c.Peer.Reset)
		case 1:
			c.close(c.Peer.Close)
		default:
			c.sayClose(1000)
		}
	}
}

// WaitsFor tells what a client that may still be here has not got yet.
func (c *Client) WaitsFor() string {
	switch {
	case c.Kind == outside && !c.lastWords && !c.IsClosed:
		return "to say what it has to say"
	case !c.isGood() || c.IsClosed || c.Status != 0 || c.Code != 0 || c.HasReason:
		return ""
	case c.Peer == nil:
		return "to connect"
	case c.Peer.IsDoomed():
		return ""
	case !c.IsUpgraded:
		return "the answer to its request"
	case c.quota > 0 || len(c.out) > 0 || !c.lastWords:
		return "to say what it has to say"
	case c.lastPing < c.pings-1:
		return fmt.Sprintf("a pong: %d pings sent, of which number %d was answered last", c.pings, c.lastPing)
	}
	for i, other := range c.w.Clients {
		if other.Room != c.Room || !other.Speaks() {
			continue
		}
		if c.w.Plan.IsLossy() {
			// Everybody gets the newest message, whatever was missed before it, unless all rooms
			// together have too little memory to keep it.
			if other.lastWords && other.Kind < outside && c.Last != other.Last && !c.w.Plan.isShort() {
				return fmt.Sprintf("the message that client %d has", i)
			}
			continue
		}
		if n := len(other.Sent); n > c.Floor[i] && c.Seen[i] != n {
			return fmt.Sprintf("messages of client %d: it has seen up to %d of %d", i, c.Seen[i], n)
		}
	}
	return ""
}
