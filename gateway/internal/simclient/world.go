//go:build linux

package simclient

import (
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/gobwas/ws"

	"sluice/reactor/reactortest"
)

// A Judge says whether a client may hear what it hears.
type Judge interface {
	Asks()                              // it sends its request
	Heard(op ws.OpCode, payload []byte) // a message
	Refused()                           // its request was answered with an error
	Told(bye int)                       // a Close frame came; it had said Close with this code itself, or zero
	Ended(byReset bool)                 // its stream ended
}

// An Outsider does what a program does that has the gateway in it.
type Outsider interface {
	Publish(room int, m *Message) bool // false: it was not taken
	Remove(room int)                   // what the room keeps
}

// A World is what clients know of the simulation that they are in, which is driven by somebody
// else.
type World struct {
	Plan        Plan
	Random      *rand.Rand
	Kernel      *reactortest.Sim
	Listen      int // where the gateway listens
	Clients     []*Client
	Readers     []*Reader
	Subscribers []*Subscriber
	Outside     Outsider
	Steps       int  // so far
	IsHealing   bool // there are no faults any more
	IsDraining  bool
	Story       string // the calls that led to it
	Err         error  // the first thing found wrong

	Inflated int // messages

	buf      [2048]byte // what a client reads
	deflater *flate.Writer
	inflater io.ReadCloser
}

// Fail notes what is wrong. The first is what matters.
func (w *World) Fail(format string, args ...any) {
	if w.Err == nil {
		w.Err = fmt.Errorf(format, args...)
		w.Kernel.Note("WRONG: %v", w.Err)
		w.Story = w.Kernel.Trace()
	}
}

// MakeClients draws the clients of the plan. Each needs a Judge before it acts.
func (w *World) MakeClients() {
	for no := range w.Plan.Clients {
		c := &Client{
			w: w, No: no, Room: w.Random.IntN(w.Plan.Rooms), Kind: w.pickKind(),
			turns: 5 + w.Random.IntN(300), sip: 1 + w.Random.IntN(64), quota: w.Random.IntN(w.Plan.quota + 1),
			isHasty: w.Random.IntN(3) == 0, lastPing: -1, offers: w.Random.IntN(2) == 0,
		}
		switch {
		case w.Plan.isCrowd:
			c.Kind %= deaf
		case w.Plan.isSlow && c.isGood(): // Some of those who wait there will not wait for ever.
			if w.Random.IntN(3) == 0 {
				c.Kind = resetter
			}
		case w.Plan.isChurn:
			c.start, c.turns = w.Random.IntN(w.Plan.Steps), w.Random.IntN(40)
		case w.Random.IntN(2) == 0:
			c.start = w.Random.IntN(w.Plan.Steps)
		}
		if w.Plan.IsSteady {
			c.makeSteady()
		}
		c.pause = c.start + w.Random.IntN(w.Plan.Steps)
		c.makeSeen()
		for what, rate := range w.Plan.Limits.Rates {
			c.Intake.Pails[what] = newPail(rate)
		}
		w.Clients = append(w.Clients, c)
	}
	w.makeHistory()
	w.makeSubscribers()
	if w.Plan.HasTokens {
		w.giveTokens(w.Random)
	}
}

// makeSeen is before it has heard of anybody.
func (c *Client) makeSeen() {
	n := c.w.Plan.Clients + c.w.Plan.History.outside
	c.Seen, c.Floor = make([]int, n), make([]int, n)
	for i := range c.Seen {
		c.Seen[i] = -1
	}
}

func (w *World) pickKind() kind {
	n := w.Random.IntN(100)
	for k, weight := range weights {
		if n -= weight; n < 0 {
			return kind(k)
		}
	}
	return good
}
