package cluster

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// New makes a node, which does nothing before Run.
func New(o Options, b Broker, rooms Rooms) *Node {
	o.setDefaults()
	n := &Node{
		o: o, broker: b, rooms: rooms,
		boot:  strings.ToLower(rand.Text()[:12]),
		wake:  make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
	n.samples = samples{of: &n.o, by: map[string]*sample{}}
	n.tasks = make(chan task, n.workers())
	n.answers = make(chan func(), n.workers())
	n.start = func(t task) { n.tasks <- t } // It has room: no more are started than there are workers.
	n.publisher.lines = map[string]*line{}
	n.publisher.held = map[*line]struct{}{}
	n.doors.byRoom = map[string]*door{}
	n.following.byName = map[string]*room{}
	n.others.known, n.isStranger = map[string]*other{}, true
	n.goodAt, n.doubt = n.now(), errStarting
	n.report()
	return n
}

const (
	tickTime    = 100 * time.Millisecond
	takesAtOnce = 256 // messages, before the node looks at anything else
)

// Run is the node's goroutine. It returns when ctx ends or the broker is gone for good, which is an
// error. What was not acknowledged until then is told ErrClosed, or ErrUnknown if it was sent.
func (n *Node) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for range n.workers() {
		workers.Go(func() { n.work(inner) })
	}
	defer func() {
		cancel()
		workers.Wait()
		n.end()
	}()
	n.goodAt = n.now()
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	for !n.isClosed {
		live := n.broker.Live()
		if !n.isTrusted {
			live = nil // It may be of a stream that is no more.
		}
		select {
		case <-ctx.Done():
			return nil
		case m := <-live:
			n.takeLive(&m)
		case <-n.broker.Changed():
			n.note(n.broker.Events())
		case c := <-n.broker.Told():
			n.hear(&c)
		case answer := <-n.answers:
			answer()
		case <-n.wake:
			n.look()
		case <-ticker.C:
			n.tick()
		}
	}
	return ErrClosed
}

// look is at what others have left.
func (n *Node) look() {
	n.lookAtDoors()
	n.lookAtPublisher()
	n.startRooms()
}

// tick is called ten times a second.
func (n *Node) tick() {
	now := n.now()
	n.ticks++
	n.look()
	n.retry(now)
	n.wakeRooms(now)
	n.talk(now)
	n.audit(now)
	n.check(now)
	if n.ticks%10 == 0 {
		n.tellLate(now)
		n.closeRooms(now)
		n.report()
	}
	n.watchOutage(now)
}

// takeLive takes a message and some of those that are there behind it.
func (n *Node) takeLive(m *Live) {
	defer n.startRooms() // Holes are fetched at once.
	n.take(m)
	for range takesAtOnce - 1 {
		select {
		case m := <-n.broker.Live():
			n.take(&m)
		default:
			return
		}
		if !n.isTrusted {
			return
		}
	}
}

// note takes what has happened to the connection.
func (n *Node) note(e Event) {
	if e&Closed != 0 {
		n.isClosed = true
	}
	if e&(Up|Down) != 0 {
		n.distrust(e&Up != 0)
	}
	if e&(Leader|Slow) != 0 {
		n.checkAll()
	}
	if e&Leader != 0 && !n.isTrusted {
		n.auditAt = 0 // There is somebody to ask.
	}
}

// end tells everybody who waits that nothing comes any more.
func (n *Node) end() {
	close(n.ended)
	n.closePublisher()
}

// Drain returns when everything that was handed over has been answered or given up, or when ctx
// ends; Run goes on meanwhile, and nothing more is taken.
func (n *Node) Drain(ctx context.Context) error {
	n.publisher.mu.Lock()
	n.publisher.isClosed = true
	n.publisher.mu.Unlock()
	ticker := time.NewTicker(tickTime / 5)
	defer ticker.Stop()
	for {
		if s := n.Stats(); s.Waiting == 0 && s.InFlight == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ended:
			return ErrClosed
		case <-ticker.C:
		}
	}
}

// hear takes another node's claim.
func (n *Node) hear(c *Claim) {
	now := n.now()
	if c.Node == n.boot || !n.isUp {
		return
	}
	if c.Epoch != "" {
		n.know(c, now)
	}
	if c.Asks != "" && len(n.toAnswer) < knownMax {
		n.toAnswer = append(n.toAnswer, c.Asks)
	}
	if len(n.toAnswer) > 0 && now-n.claimedAt >= claimPause {
		n.claim()
	}
	n.audit(now)
}

// workers is how many there are: one for each room that is being opened or repaired, and one each
// for checks, audits and packs that are looked for. No more tasks are started at a time.
func (n *Node) workers() int { return n.o.OpeningsMax + 3 }

// work carries out tasks until ctx ends.
func (n *Node) work(ctx context.Context) {
	q := &requests{n.broker, ctx, n.o}
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-n.tasks:
			answer := t(q)
			select {
			case n.answers <- answer:
			case <-ctx.Done():
				return
			}
		}
	}
}
