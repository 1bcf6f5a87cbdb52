package process

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/reactor"
)

// slowBeats is how often a second a slow client reads.
const slowBeats = 10

// readSlowly takes the bytes of one beat.
func (c *client) readSlowly() {
	c.w.loop.SetTimer(c.token, time.Second/slowBeats)
	buf := c.w.buf[:min(len(c.w.buf), max(1, c.w.process.cfg.Slow.Rate/slowBeats))]
	n, err := c.w.kernel.Read(int(c.fd), buf)
	switch {
	case err == nil && n > 0:
		c.take(buf[:n])
	case err == nil:
		c.end(FaultClosed, "the server ended the connection")
	case !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
		c.end(FaultClosed, err.Error())
	}
}

// A visit is what makes a guest leave: churn one by one, a storm all at once.
type visit uint8

const (
	politely visit = iota // with a Close frame, as a page that is closed
	abruptly              // without a word, as a machine that loses its network
)

// depart makes a guest leave and come back as soon as it has left.
func (c *client) depart(how visit) {
	if c.state != joined {
		return
	}
	c.w.crowd.Left++
	c.returning = true
	if how == politely {
		c.sayGoodbye()
		if c.state == leaving {
			c.w.loop.SetTimer(c.token, c.w.process.cfg.ConnectTimeout)
		}
		return
	}
	// If refused it leaves a little more politely.
	_ = c.w.kernel.SetOption(int(c.fd), reactor.AbortOnClose, 1)
	c.state = leaving
	c.end(FaultNone, "")
}

// comeBack puts a client that left at the end of those to be opened.
func (c *client) comeBack() {
	c.state = waiting
	for m := range c.each {
		m.pause(c.kind == load.KindResumer)
	}
	if c.events != nil {
		c.events.pause(c.kind == load.KindResumer)
	}
	c.w.clientsToOpen = append(c.w.clientsToOpen, c)
}

// returned notes that a guest is back, or could not come back.
func (c *client) returned(isBack bool) {
	c.returning, c.refusals = false, 0
	c.wasCut = c.wasCut || !isBack
	if isBack {
		c.w.crowd.Returned++
		c.w.backAt = c.w.process.Now()
		c.noteOwed()
	}
}

// Crowd is what became of those that are not mere readers.
type Crowd struct {
	Stalled       int     `json:"stalled"`
	StalledClosed int     `json:"stalled_closed"`    // ended by the server
	StalledOpen   int     `json:"stalled_connected"` // at the end, as reading what was left showed
	Slow          int     `json:"slow"`
	SlowClosed    int     `json:"slow_closed"`
	SlowDelivered uint64  `json:"slow_delivered"`
	Guests        int     `json:"guests"`
	Left          int     `json:"left"`
	Returned      int     `json:"returned"`
	Refused       int     `json:"refused"` // returns that were refused for the moment, and tried again
	GuestsHeard   uint64  `json:"guests_delivered"`
	StormSeconds  float64 `json:"storm_seconds"` // from the drop until the last one was back

	Resumers        int     `json:"resumers"`
	CaughtUpSeconds float64 `json:"caught_up_seconds"` // from the drop until the last one had what it had missed
}

func (c *Crowd) add(o *Crowd) {
	c.StalledClosed += o.StalledClosed
	c.StalledOpen += o.StalledOpen
	c.SlowClosed += o.SlowClosed
	c.Left += o.Left
	c.Returned += o.Returned
	c.Refused += o.Refused
	c.SlowDelivered += o.SlowDelivered
	c.GuestsHeard += o.GuestsHeard
	c.StormSeconds = max(c.StormSeconds, o.StormSeconds)
	c.CaughtUpSeconds = max(c.CaughtUpSeconds, o.CaughtUpSeconds)
}

// churn makes as many guests leave as are due. It returns how long the loop may sleep.
func (w *worker) churn(now time.Duration) time.Duration {
	if w.churnEvery == 0 || len(w.guests) == 0 {
		return -1
	}
	for ; now >= w.churnDue; w.churnDue += w.churnEvery {
		w.guests[w.nextGuest%len(w.guests)].depart(politely)
		w.nextGuest++
	}
	return w.churnDue - now
}

// storm makes its share of the clients leave at once.
func (w *worker) storm() {
	w.stormAt = w.process.Now()
	for _, c := range w.guests {
		if c.index >= w.process.cfg.Clients-w.process.cfg.StormSize() {
			c.depart(abruptly)
		}
	}
}

const (
	// lookTime bounds how long stalled clients read at the end, and lookQuiet is how long nothing
	// has to come to any of them before they are believed to have read it all.
	lookTime  = 10 * time.Second
	lookQuiet = 300 * time.Millisecond
)

// lookAtStalled makes the stalled clients read, at the very end, because only behind what they left
// unread can it stand that the server ended their connection.
func (p *Process) lookAtStalled(ctx context.Context, _ time.Duration) error {
	err := p.onLoops(ctx, func(w *worker) {
		w.isLooking, w.lookedAt = true, p.Now()
		for _, c := range w.clients {
			if c.kind == load.KindStalled && c.state == joined {
				w.loop.Requeue(c.token, reactor.Readable) // No edge will come for what is there.
			}
		}
	})
	for began, quiet := p.Now(), false; err == nil && !quiet && p.Now()-began < lookTime; {
		time.Sleep(lookQuiet / 10)
		var busy atomic.Bool
		err = p.onLoops(ctx, func(w *worker) {
			w.crowd.StalledOpen = 0
			for _, c := range w.clients {
				if c.kind == load.KindStalled && c.state == joined {
					w.crowd.StalledOpen++
				}
			}
			if w.crowd.StalledOpen > 0 && p.Now()-w.lookedAt < lookQuiet {
				busy.Store(true)
			}
		})
		quiet = !busy.Load()
	}
	return err
}
