//go:build linux

package gateway

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
	Heard(op ws.OpCode, payload []byte) // a message
	Refused()                           // its request was answered with an error
	Told(bye int)                       // a Close frame came; it had said Close with this code itself, or zero
	Ended(byReset bool)                 // its stream ended
}

// A simWorld is what clients know of the world.
type simWorld struct {
	plan       plan
	random     *rand.Rand
	kernel     *reactortest.Sim
	listen     int // where the gateway listens
	clients    []*client
	steps      int
	isHealing  bool // there are no faults any more
	isDraining bool
	story      string // the calls that led to it
	err        error  // the first thing found wrong

	buf      [2048]byte // what a client reads
	deflater *flate.Writer
	inflater io.ReadCloser
	inflated int
}

// fail notes what is wrong. The first is what matters.
func (w *simWorld) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		w.kernel.Note("WRONG: %v", w.err)
		w.story = w.kernel.Trace()
	}
}

func (w *simWorld) makeClients() {
	for no := range w.plan.clients {
		c := &client{
			w: w, no: no, room: w.random.IntN(w.plan.rooms), kind: w.pickKind(),
			turns: 5 + w.random.IntN(300), sip: 1 + w.random.IntN(64), quota: w.random.IntN(w.plan.quota + 1),
			isHasty: w.random.IntN(3) == 0, lastPing: -1, offers: w.random.IntN(2) == 0,
		}
		switch {
		case w.plan.isCrowd:
			c.kind %= simDeaf
		case w.plan.isSlow && c.isGood(): // Some of those who wait there will not wait for ever.
			if w.random.IntN(3) == 0 {
				c.kind = simResetter
			}
		case w.plan.isChurn:
			c.start, c.turns = w.random.IntN(w.plan.steps), w.random.IntN(40)
		case w.random.IntN(2) == 0:
			c.start = w.random.IntN(w.plan.steps)
		}
		c.pause = c.start + w.random.IntN(w.plan.steps)
		c.seen, c.floor = make([]int, w.plan.clients), make([]int, w.plan.clients)
		for i := range c.seen {
			c.seen[i] = -1
		}
		for what, rate := range w.plan.limits.rates {
			c.intake.pails[what] = newPail(rate)
		}
		w.clients = append(w.clients, c)
	}
}

func (w *simWorld) pickKind() simKind {
	n := w.random.IntN(100)
	for k, weight := range simWeights {
		if n -= weight; n < 0 {
			return simKind(k)
		}
	}
	return simGood
}
