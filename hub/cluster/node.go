package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/hub"
)

// Errors of a node. Those of Publish that publishers can do something about are hub's.
var (
	ErrTooLarge     = hub.ErrTooLarge
	ErrFull         = hub.ErrFull
	ErrTimeout      = errors.New("cluster: the stream has not acknowledged the message in time, and may yet")
	ErrUnknown      = errors.New("cluster: the stream may have the message or not, and it was given up")
	ErrTooManyRooms = errors.New("cluster: as many rooms are followed as may be")
	ErrClosed       = errors.New("cluster: the node has ended")
)

// A Node gives the rooms of one gateway the order that all gateways share. All its state but for
// what publishers hand over, and the doors of rooms, is its goroutine's, which Run is; requests
// that wait are made by a few workers, whose answers come back to it.
type Node struct {
	o      Options
	broker Broker
	rooms  Rooms
	boot   string // what ids of its packs begin with: random, so that no other has had them
	start  func(task)

	publisher publisher
	doors     doors
	counters  counters
	status    atomic.Pointer[status]
	wake      chan struct{}
	tasks     chan task
	answers   chan func()
	ended     chan struct{}

	following
	checking
	trust
	others
	number    uint64 // of the pack that was sent last
	troubled  []*line
	moved     []*line // held, and have had a pack sent
	isLooking bool
	isOut     bool
	ticks     int
	samples   map[string]*sample
}

// New makes a node, which does nothing before Run.
func New(o Options, b Broker, rooms Rooms) *Node {
	o.setDefaults()
	n := &Node{
		o: o, broker: b, rooms: rooms,
		boot:    strings.ToLower(rand.Text()[:12]),
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		samples: map[string]*sample{},
	}
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

func (n *Node) now() time.Duration { return n.o.Elapsed() }

// wakeUp has the node look at what others have left for it.
func (n *Node) wakeUp() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
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

// setDefaults puts defaults in place of zeros.
func (o *Options) setDefaults() {
	setDefault(&o.MessageBytesMax, 1<<20)
	setDefault(&o.PacksMax, 1000)
	setDefault(&o.Age, 10*time.Minute)
	setDefault(&o.RoomsMax, 100_000)
	setDefault(&o.PublishBytesMax, 64<<20)
	setDefault(&o.HeldBytesMax, 16<<20)
	setDefault(&o.FillBytesMax, 8<<20)
	setDefault(&o.FetchBytesMax, 1<<20)
	setDefault(&o.OpeningsMax, 16)
	setDefault(&o.PublishTimeout, 10*time.Second)
	setDefault(&o.RequestTimeout, 2*time.Second)
	if o.HistoryOf == nil {
		o.HistoryOf = func(string) hub.History { return hub.History{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Elapsed == nil {
		o.Elapsed = monotonic()
	}
}

func setDefault[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}
