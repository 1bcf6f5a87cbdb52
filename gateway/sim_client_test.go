//go:build linux

package gateway

import (
	"errors"
	"fmt"
	"syscall"

	"sluice/reactor/reactortest"
)

// simKind is what becomes of a client.
type simKind uint8

const (
	simGood     simKind = iota // reads what there is
	simSlow                    // reads a few bytes at a time
	simPauser                  // reads nothing for a while
	simDeaf                    // never reads
	simViolator                // breaks the protocol
	simHalf                    // ends its stream and reads on
	simResetter                // resets the connection, wherever it is
	simDropper                 // closes without a word
	simLeaver                  // says Close
	simBad                     // its request is malformed, or never whole
	simKinds
)

// simWeights say how many clients of each kind there are among a hundred.
var simWeights = [simKinds]int{simGood: 38, simSlow: 14, simPauser: 12, simDeaf: 5, simViolator: 6, simHalf: 5, simResetter: 5, simDropper: 5, simLeaver: 6, simBad: 4}

// A client is one client: a script, what it has sent, and what it has received so far.
type client struct {
	w     *simWorld
	no    int
	room  int
	kind  simKind
	peer  *reactortest.Peer
	start int // step at which it dials
	turns int // of its own, until it does what its kind does
	pause int // step at which a pauser reads on
	sip   int // most bytes that a slow reader takes

	quota     int // messages still to send
	isHasty   bool
	isGoodbye bool // the farewell has begun
	lastWords bool // the message that ends the recovery is sent
	out       []byte
	sent      []*simMessage
	pings     int
	lastPing  int // number of the newest ping that was answered
	asked     int // step at which its request began, or zero
	bye       int // code of the Close frame it has sent, or zero
	violation int // close code that its violation deserves, or zero
	isHalf    bool
	isDeaf    bool // nothing more can be sent
	wasReset  bool // a write has said so
	isClosed  bool

	offers bool // permessage-deflate
	intake intake

	in         []byte
	isUpgraded bool
	deflates   bool // as agreed
	status     int  // of a refusal
	last       *simMessage
	got        []*simMessage // with a lossy policy
	seen       []int         // by client: the number of its next message, or -1
	floor      []int         // by client: how many it had sent when we were answered
	code       int           // of the Close frame that came, or zero
	hasReason  bool          // the gateway has said why it ends it
	judge      Judge
}

// isGood says that nothing in the client's script ends it.
func (c *client) isGood() bool { return c.kind <= simPauser }

// isHere says that the client may expect to be served.
func (c *client) isHere() bool {
	return c.peer != nil && c.isUpgraded && !c.isClosed && c.code == 0 && !c.hasReason && !c.peer.IsDoomed()
}

func (c *client) fail(format string, args ...any) {
	c.w.fail("client %d (connection %d): %s", c.no, c.peer.No(), fmt.Sprintf(format, args...))
}

// act is a turn of the client. It reports whether there was anything to do.
func (c *client) act() bool {
	switch {
	case c.isClosed || c.w.err != nil:
		return false
	case c.peer == nil:
		return c.dial()
	}
	c.turns--
	calm := c.w.isHealing
	busy := false
	if c.wantsToRead() && (calm || c.w.random.IntN(2) == 0) {
		busy = c.receive()
	}
	if c.isClosed || c.w.err != nil {
		return true
	}
	if (c.turns < 0 || calm) && c.doIt() {
		return true
	}
	return !c.isClosed && c.transmit() || busy
}

func (c *client) dial() bool {
	if c.w.steps < c.start && !c.w.isHealing {
		return false
	}
	c.w.kernel.SetBuffers(c.w.plan.newBuffers(c.w.random))
	p, err := c.w.kernel.Dial(c.w.listen)
	if err != nil {
		if !errors.Is(err, syscall.EAGAIN) {
			c.isClosed = true // Nobody listens any more.
		}
		return false
	}
	c.peer = p
	c.w.kernel.Note("client %d of room %d, kind %d, is connection %d", c.no, c.room, c.kind, p.No())
	return true
}

// doIt does, once, what clients of this kind do.
func (c *client) doIt() bool {
	switch {
	case c.kind == simResetter:
		c.close(c.peer.Reset)
	case c.kind == simDropper:
		c.close(c.peer.Close)
	case c.kind == simHalf && !c.isHalf && c.bye == 0:
		c.isHalf, c.out = true, nil // In the middle of whatever it was.
		if err := c.peer.CloseWrite(); err != nil {
			c.isDeaf = true
		}
	case !c.isUpgraded:
		return false
	case c.kind == simViolator && c.violation == 0 && c.bye == 0:
		c.violate()
	case c.kind == simLeaver && c.bye == 0:
		c.sayClose([]int{1000, 1001, 3000, 4999, noStatus}[c.w.random.IntN(5)])
	default:
		return false
	}
	return true
}

func (c *client) close(how func()) {
	c.isClosed = true
	how()
}

// mayTalk says that messages may still be sent.
func (c *client) mayTalk() bool {
	return c.bye == 0 && c.violation == 0 && !c.isHalf && !c.isDeaf && c.status == 0
}

// transmit sends some of what is to be sent, or thinks of something.
func (c *client) transmit() bool {
	if len(c.out) == 0 {
		c.compose()
	}
	if len(c.out) == 0 || c.isHalf {
		return false
	}
	n := len(c.out)
	if !c.w.isHealing && c.w.random.IntN(2) == 0 {
		n = 1 + c.w.random.IntN(n)
	}
	n, err := c.peer.Write(c.out[:n])
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

func (c *client) wantsToRead() bool {
	switch {
	case c.kind == simDeaf:
		return false
	case c.w.isHealing:
		return true
	case c.kind == simPauser:
		return c.w.steps < c.start+20 || c.w.steps >= c.pause
	case c.kind == simSlow:
		return c.w.random.IntN(4) == 0
	}
	return true
}

// receive takes some of what has arrived.
func (c *client) receive() bool {
	buf := c.w.buf[:]
	if c.kind == simSlow && !c.w.isHealing {
		buf = buf[:c.sip]
	}
	n, err := c.peer.Read(buf)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err == nil && n > 0:
		c.in = append(c.in, buf[:n]...)
		c.parse()
		return true
	}
	c.ended(err)
	return true
}

// leave begins the client's part of the farewell.
func (c *client) leave() {
	c.isGoodbye = true
	switch {
	case c.isClosed:
	case c.peer == nil:
		c.isClosed = true
	case c.kind == simDeaf:
		c.close(c.peer.Reset)
	case c.w.isDraining || !c.isUpgraded || !c.mayTalk():
		// It will be told, or its script has ended it already.
	default:
		switch c.w.random.IntN(4) {
		case 0:
			c.close(c.peer.Reset)
		case 1:
			c.close(c.peer.Close)
		default:
			c.sayClose(1000)
		}
	}
}

// waitsFor tells what a client that may still be here has not got yet.
func (c *client) waitsFor() string {
	switch {
	case !c.isGood() || c.isClosed || c.status != 0 || c.code != 0 || c.hasReason:
		return ""
	case c.peer == nil:
		return "to connect"
	case c.peer.IsDoomed():
		return ""
	case !c.isUpgraded:
		return "the answer to its request"
	case c.quota > 0 || len(c.out) > 0 || !c.lastWords:
		return "to say what it has to say"
	case c.lastPing < c.pings-1:
		return fmt.Sprintf("a pong: %d pings sent, of which number %d was answered last", c.pings, c.lastPing)
	}
	for i, other := range c.w.clients {
		if other.room != c.room || !other.isGood() || !other.isHere() {
			continue
		}
		if c.w.plan.isLossy() { // Everybody gets the newest message, whatever was missed before it.
			if other.lastWords && c.last != other.last {
				return fmt.Sprintf("the message that client %d has", i)
			}
			continue
		}
		if n := len(other.sent); n > c.floor[i] && c.seen[i] != n {
			return fmt.Sprintf("messages of client %d: it has seen up to %d of %d", i, c.seen[i], n)
		}
	}
	return ""
}
