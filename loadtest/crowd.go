package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/reactor"
)

// A kind is how a client behaves. Publishers are readers.
type kind uint8

const (
	reader  kind = iota // reads at once, and is held to every message
	stalled             // joins and never reads
	slow                // reads so many bytes a second; held to order and content, not to completeness
	guest               // leaves and returns; held to every message between the first and the last of a stay
)

// Slow is a number of slow clients and their pace, written N@RATE.
type Slow struct {
	N    int
	Rate int // bytes per second
}

// UnmarshalText parses N@RATE.
func (s *Slow) UnmarshalText(text []byte) error {
	n, rate, ok := strings.Cut(string(text), "@")
	var err1, err2 error
	s.N, err1 = strconv.Atoi(n)
	s.Rate, err2 = strconv.Atoi(rate)
	if !ok || err1 != nil || err2 != nil || s.N < 0 || s.Rate < 1 {
		return fmt.Errorf("%q: write clients@bytes-per-second, as in 10@2000", text)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Slow) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d@%d", s.N, max(1, s.Rate)), nil
}

// Share is a part of something in percent.
type Share float64

// UnmarshalText takes "30%" or "30".
func (s *Share) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || v < 0 || v > 100 {
		return fmt.Errorf("%q is not a share: write 30%%", text)
	}
	*s = Share(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v%%", float64(s)), nil }

// crowdSizes is how many clients are of each kind.
func (c *Load) crowdSizes() (n [guest + 1]int) {
	audience := c.Clients - c.Publishers
	n[stalled], n[slow] = c.Stalled, c.Slow.N
	if c.Churn > 0 {
		// Enough that nobody comes and goes more often than every other second, but most of the audience stays.
		n[guest] = min(max(1, int(2*c.Churn+0.999)), max(1, (audience-n[stalled]-n[slow])/2))
	}
	n[guest] = max(n[guest], c.stormSize())
	n[reader] = c.Clients - n[stalled] - n[slow] - n[guest]
	return n
}

// stormSize is how many guests, the last ones, a storm takes.
func (c *Load) stormSize() int { return int(float64(c.Clients)*float64(c.Storm)/100 + 0.5) }

// kindOf gives the clients behind the publishers and readers their kinds.
func (c *Load) kindOf(index int) kind {
	n := c.crowdSizes()
	for k := reader; k < guest; k++ {
		if index -= n[k]; index < 0 {
			return k
		}
	}
	return guest
}

// slowBeats is how often a second a slow client reads.
const slowBeats = 10

// readSlowly takes the bytes of one beat.
func (c *client) readSlowly() {
	c.w.loop.SetTimer(c.token, time.Second/slowBeats)
	buf := c.w.buf[:min(len(c.w.buf), max(1, c.w.run.cfg.Slow.Rate/slowBeats))]
	n, err := c.w.kernel.Read(int(c.fd), buf)
	switch {
	case err == nil && n > 0:
		c.take(buf[:n])
	case err == nil:
		c.end(faultClosed, "the server ended the connection")
	case !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
		c.end(faultClosed, err.Error())
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
	if c.kind != guest || c.state != joined {
		return
	}
	c.w.crowd.Left++
	c.returning = true
	if how == politely {
		c.sayGoodbye()
		c.w.loop.SetTimer(c.token, c.w.run.cfg.ConnectTimeout)
		return
	}
	_ = c.w.kernel.SetOption(int(c.fd), reactor.AbortOnClose, 1) // If refused it leaves a little more politely.
	c.state = leaving
	c.end(faultNone, "")
}

// comeBack puts a client that left at the end of those to be opened.
func (c *client) comeBack() {
	c.state = waiting
	c.check.pause()
	c.w.clientsToOpen = append(c.w.clientsToOpen, c)
}

// returned notes that a guest is back, or could not come back.
func (c *client) returned(isBack bool) {
	c.returning = false
	if isBack {
		c.w.crowd.Returned++
		c.w.backAt = c.w.run.now()
	}
}

// Crowd is what became of those that are not mere readers.
type Crowd struct {
	Stalled       int     `json:"stalled"`
	StalledClosed int     `json:"stalled_closed"`    // ended by the server
	StalledOpen   int     `json:"stalled_connected"` // still connected at the end, as reading what was left for them showed
	Slow          int     `json:"slow"`
	SlowClosed    int     `json:"slow_closed"`
	SlowDelivered uint64  `json:"slow_delivered"`
	Guests        int     `json:"guests"`
	Left          int     `json:"left"`
	Returned      int     `json:"returned"`
	GuestsHeard   uint64  `json:"guests_delivered"`
	StormSeconds  float64 `json:"storm_seconds"` // from the drop until the last one was back
}

func (c *Crowd) add(o *Crowd) {
	c.StalledClosed += o.StalledClosed
	c.StalledOpen += o.StalledOpen
	c.SlowClosed += o.SlowClosed
	c.Left += o.Left
	c.Returned += o.Returned
	c.SlowDelivered += o.SlowDelivered
	c.GuestsHeard += o.GuestsHeard
	c.StormSeconds = max(c.StormSeconds, o.StormSeconds)
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
	w.stormAt = w.run.now()
	for _, c := range w.guests {
		if c.index >= w.run.cfg.Clients-w.run.cfg.stormSize() {
			c.depart(abruptly)
		}
	}
}

const (
	// lookTime bounds how long stalled clients read at the end, and lookQuiet is how long nothing has to come to any of them
	// before they are believed to have read it all.
	lookTime  = 10 * time.Second
	lookQuiet = 300 * time.Millisecond
)

// lookAtStalled makes the stalled clients read, at the very end, because only behind what they left unread can it stand
// that the server ended their connection.
func (r *run) lookAtStalled(ctx context.Context, _ time.Duration) error {
	err := r.onLoops(ctx, func(w *worker) {
		w.isLooking, w.lookedAt = true, r.now()
		for _, c := range w.clients {
			if c.kind == stalled && c.state == joined {
				w.loop.Requeue(c.token, reactor.Readable) // No edge will come for what is there.
			}
		}
	})
	for began, quiet := r.now(), false; err == nil && !quiet && r.now()-began < lookTime; {
		time.Sleep(lookQuiet / 10)
		var busy atomic.Bool
		err = r.onLoops(ctx, func(w *worker) {
			w.crowd.StalledOpen = 0
			for _, c := range w.clients {
				if c.kind == stalled && c.state == joined {
					w.crowd.StalledOpen++
				}
			}
			if w.crowd.StalledOpen > 0 && r.now()-w.lookedAt < lookQuiet {
				busy.Store(true)
			}
		})
		quiet = !busy.Load()
	}
	return err
}
