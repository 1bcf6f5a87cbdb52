package reactor

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/reactor/internal/sys"
)

const (
	wheelTick  = 20 * time.Millisecond
	wheelSlots = 2048 // 41 s a turn: longer than the ping interval
	// timersPerTick bounds the timer phase, so that thousands of timeouts due at once do not hold
	// up the others' events.
	timersPerTick = 1024
	// visitsTime bounds how long the sources that asked for another turn have in a tick, all of a
	// line together, for the same reason: they have most to do.
	visitsTime = 250 * time.Microsecond
	// pauseMin is the excess by which a wait must have overslept to count as a pause of the whole
	// process (SIGSTOP, a suspended machine): the loop's clock then leaves it out, and nobody is
	// timed out for what we did not hear. A pause within a longer wait cannot be told from the
	// wait; what came meanwhile is heard before the timers fire all the same.
	pauseMin = 2 * time.Second
	// soon is how short a wait must have been for the next one to be expected to be short. Messages
	// that come once in a millisecond or two are not to cost a wait more.
	soon = 500 * time.Microsecond
)

// Options configure a Loop. The zero value is usable.
type Options struct {
	Kernel     Kernel // nil: the operating system
	EventsMax  int    // events taken from the kernel, and sources visited again, per tick; default 128
	SourcesMax int    // sources registered at a time; default 1<<20
	MailboxMax int    // tasks waiting at a time; default 4096
	// KeepsProcessor makes a busy loop keep its processor, in Go's sense, over short waits instead
	// of giving it up and taking it back, which is dear. Only for fewer loops than GOMAXPROCS: with
	// as many, other goroutines ran 19 ms late. Nothing but epoll heeds it.
	KeepsProcessor bool
	// OnPanic hears that a source's OnEvent panicked, on the loop's goroutine. The loop goes on
	// with the next event, unless OnPanic panics or the panic came from this package. Nil: all
	// panics go on.
	OnPanic func(s Source, p Panic)
}

// A Hook runs at the end of every tick, when the tick's events are handled and before the loop
// waits. It returns how long the loop may sleep at most: zero when it has left work behind,
// negative when it does not mind.
type Hook func() time.Duration

// A Loop is a reactor: one goroutine that waits for its sources' readiness and owns all of their
// state. Nothing in it is locked. Other goroutines reach it through Post, Wake, Stop and Elapsed
// alone; every other method belongs to the goroutine that runs the loop (and, before Run, to the
// one that made it).
type Loop struct {
	kernel Kernel
	poller *Poller

	sources  *Slab[entry]
	events   []Event
	requeued line // visited in a later tick, although the kernel will not say so
	costly   line // likewise, behind those
	closing  []Token
	wheel    *Wheel
	expired  []uint32 // places of sources whose timers fire in this tick
	hooks    []Hook
	atEnd    func() // nil once it was called
	onPanic  func(Source, Panic)
	hooksMax time.Duration // how long the hooks of this tick let us sleep
	isKeen   bool          // see Options.KeepsProcessor

	now     time.Duration
	realNow time.Duration // the kernel's clock at the start of this tick
	pauses  atomic.Int64  // all the time the process stood still, left out of now

	mailbox  mailbox
	signal   atomic.Bool // somebody called Wake since the tick began
	sleeping atomic.Bool // the loop waits, or is about to
	stopping atomic.Bool
	wakeMu   sync.Mutex // held while waking, so that a released poller's descriptor is never written to
	released bool       // guarded by wakeMu

	stats Stats
}

// Stats count what a loop saw since it began.
type Stats struct {
	Ticks       uint64
	Events      uint64 // delivered, from the kernel and requeued
	StaleEvents uint64 // dropped: their source was closed earlier in the tick, or its slot reused
	Pauses      uint64 // times the whole process stood still, see Loop.Now
	Wakes       uint64 // times it was called out of a wait, by Wake or Post
	TickTimes   TickTimes
}

// NewLoop returns a loop that is ready to Run, or to be given up by Release. The error is
// ErrUnsupported where there is neither epoll nor kqueue, or the kernel's that gave no poller:
// EMFILE and ENOMEM among them.
func NewLoop(o Options) (*Loop, error) {
	if o.Kernel == nil {
		o.Kernel = sys.Real{}
	}
	p, err := newPoller(o.Kernel)
	if err != nil {
		return nil, err
	}
	now := o.Kernel.Now()
	return &Loop{
		kernel:  o.Kernel,
		poller:  p,
		sources: NewSlab[entry](orDefault(o.SourcesMax, 1<<20)),
		events:  make([]Event, 0, orDefault(o.EventsMax, 128)),
		wheel:   NewWheel(wheelTick, wheelSlots, now),
		expired: make([]uint32, 0, timersPerTick),
		mailbox: mailbox{limit: orDefault(o.MailboxMax, 4096)},
		onPanic: o.OnPanic,
		isKeen:  o.KeepsProcessor,
		now:     now,
		realNow: now,
	}, nil
}

func orDefault(value, otherwise int) int {
	if value == 0 {
		return otherwise
	}
	return value
}

// Run ticks until Stop, then closes every descriptor the loop holds. It returns an error only when
// the poller fails, which leaves the loop unable to serve.
func (l *Loop) Run() error {
	defer l.Release()
	for !l.stopping.Load() {
		if err := l.Tick(); err != nil {
			return err
		}
	}
	return nil
}

// Tick makes one pass: wait, events, requeued, mailbox, timers, hooks, close. Descriptors close
// last, so that a number cannot be reused while events that carry it are still to be handled. Tests
// and simulations step a loop with it; everybody else calls Run.
func (l *Loop) Tick() error {
	if err := l.wait(); err != nil {
		return err
	}
	l.stats.Ticks++
	for _, ev := range l.events {
		l.deliver(ev)
	}
	l.visitLine(&l.requeued)
	l.visitLine(&l.costly)
	l.runMailbox()
	l.runTimers()
	l.runHooks()
	l.closeSources()
	return nil
}

// wait sleeps until something is to be done. The order of its steps makes every Wake count: its
// caller either finds the loop asleep, and writes to the poller, or has set the signal that the
// loop reads after saying that it sleeps.
func (l *Loop) wait() error {
	now := l.kernel.Now()
	if l.stats.Ticks > 0 {
		l.stats.TickTimes.add(now - l.realNow)
	}
	timeout := l.timeout(now - time.Duration(l.pauses.Load()))
	if timeout != 0 {
		l.sleeping.Store(true)
		if l.signal.Load() || l.stopping.Load() {
			timeout = 0
		}
	}
	events, err := l.poller.Wait(l.events[:0], timeout)
	l.sleeping.Store(false)
	if timeout != 0 && l.signal.Load() {
		l.stats.Wakes++
	}
	l.signal.Store(false) // before the mailbox and the hooks look at what the wakers left
	l.events = events
	l.readClock(timeout)
	if l.isKeen {
		l.poller.expect(l.realNow-now < soon)
	}
	return err
}

// timeout is how long a wait that begins now may last: zero with work left, negative without bound.
func (l *Loop) timeout(now time.Duration) time.Duration {
	if len(l.requeued.waiting) > 0 || len(l.costly.waiting) > 0 || len(l.expired) > 0 {
		return 0
	}
	timeout := l.hooksMax
	if due, ok := l.wheel.Next(); ok {
		if left := max(0, due-now); timeout < 0 || left < timeout {
			timeout = left
		}
	}
	return timeout
}

// readClock moves the loop's clock, leaving out the time in which the process stood still.
func (l *Loop) readClock(timeout time.Duration) {
	now := l.kernel.Now()
	passed := now - l.realNow
	l.realNow = now
	if timeout >= 0 && passed > timeout+pauseMin {
		l.pauses.Add(int64(passed - timeout))
		l.stats.Pauses++
	}
	l.now = now - time.Duration(l.pauses.Load())
}

// deliver tells a source of its event, if the source is there still.
func (l *Loop) deliver(ev Event) {
	e, ok := l.sources.Get(ev.Token)
	if !ok || e.isClosed {
		l.stats.StaleEvents++
		return
	}
	if e.again&readyRead != 0 && !ev.Error() {
		// It stands in line with something to read. New bytes do not get it there any sooner.
		e.again |= ev.ready & (readyRead | readyHangup)
		if ev.ready &^= readyRead | readyHangup; ev.ready == 0 {
			return
		}
	}
	l.stats.Events++
	l.call(e.source, ev)
}

// A line holds the sources that asked for another turn, the first of them in front.
type line struct {
	waiting  []Token
	visiting []Token // kept for its array
}

// visitLine visits sources whose budget ended before the kernel said EAGAIN, as many as there may
// be events in a tick and as there is time for, one at least. One that asks again is visited in a
// later tick, after the others' events and behind those in line.
func (l *Loop) visitLine(q *line) {
	n := min(len(q.waiting), cap(l.events))
	if n == 0 {
		return
	}
	q.visiting = append(q.visiting[:0], q.waiting[:n]...)
	q.waiting = append(q.waiting[:0], q.waiting[n:]...)
	until := l.kernel.Now() + visitsTime
	for i, t := range q.visiting {
		l.visit(t)
		if i+1 < n && l.kernel.Now() >= until {
			left := append(q.visiting, q.waiting...)
			left = left[:copy(left, left[i+1:])]
			q.visiting, q.waiting = q.waiting, left // Sources not visited stay in front.
			return
		}
	}
}

func (l *Loop) visit(t Token) {
	e, ok := l.sources.Get(t)
	if !ok || e.isClosed {
		return
	}
	ev := Event{Token: t, ready: e.again | readyAgain}
	e.again = 0
	l.stats.Events++
	l.call(e.source, ev)
}

func (l *Loop) runMailbox() {
	tasks := l.mailbox.take()
	for _, task := range tasks {
		task(l)
	}
	clear(tasks) // The slice is kept for later; what the tasks hold is not.
}

func (l *Loop) runTimers() {
	l.expired = l.wheel.Expire(l.now, l.expired[:0])
	for _, place := range l.expired {
		if _, e, ok := l.liveAt(place); ok {
			e.isDue = true
		}
	}
	for _, place := range l.expired { // Those fired first may cancel, move or close the later ones.
		if t, e, ok := l.liveAt(place); ok && e.isDue {
			e.isDue = false
			l.call(e.source, Event{Token: t, ready: readyTimeout})
		}
	}
	if len(l.expired) < cap(l.expired) {
		// All that were due have fired; what is left would keep the loop from sleeping.
		l.expired = l.expired[:0]
	}
}

func (l *Loop) runHooks() {
	l.hooksMax = -1
	for _, hook := range l.hooks {
		if d := hook(); d >= 0 && (l.hooksMax < 0 || d < l.hooksMax) {
			l.hooksMax = d
		}
	}
}

func (l *Loop) closeSources() {
	for i := 0; i < len(l.closing); i++ {
		t := l.closing[i]
		e, _ := l.sources.Get(t)
		// Deregister first: a descriptor that was duplicated would go on reporting. Its failure
		// changes nothing here.
		_ = l.poller.Deregister(int(e.fd))
		_ = l.kernel.Close(int(e.fd)) // The descriptor is gone whatever close(2) says, and its peer too.
		l.sources.Remove(t)
	}
	l.closing = l.closing[:0]
}

// Release runs the tasks that were accepted and have not run, so that what they carry is not lost,
// then what AtEnd was given, and closes every source's descriptor and the poller. Run does it by
// itself; it is for loops that are stepped.
func (l *Loop) Release() {
	l.stopping.Store(true)
	l.mailbox.close()
	l.runMailbox()
	if f := l.atEnd; f != nil {
		l.atEnd = nil
		f()
	}
	for t := range l.sources.All {
		l.Close(t)
	}
	l.closeSources()
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if !l.released {
		l.released = true
		_ = l.poller.Close()
	}
}

// BeforeSleep adds a hook; hooks run in the order they were added.
func (l *Loop) BeforeSleep(hook Hook) { l.hooks = append(l.hooks, hook) }

// AtEnd has f run once, when the loop has ended and before the descriptors of its sources are
// closed: f is the last to see them.
func (l *Loop) AtEnd(f func()) { l.atEnd = f }

// Now is the loop's clock: monotonic, read once per tick, and standing still while the whole
// process did, so that a gateway that was stopped for ten seconds does not time out everybody on
// waking.
func (l *Loop) Now() time.Duration { return l.now }

// Elapsed is the loop's clock read anew, for measuring inside a tick. Other goroutines may go by
// it, too: in a tick that notices a pause of the process it falls back behind what they have read.
func (l *Loop) Elapsed() time.Duration { return l.kernel.Now() - time.Duration(l.pauses.Load()) }

// Kernel is the seam that sources make their system calls through.
func (l *Loop) Kernel() Kernel { return l.kernel }

// Stats returns the counters as they stand.
func (l *Loop) Stats() Stats { return l.stats }

// Post runs task on the loop in its next tick. Any goroutine may call it. False means that the
// mailbox is full or the loop has ended, and that task will not run.
func (l *Loop) Post(task func(*Loop)) bool {
	if !l.mailbox.put(task) {
		return false
	}
	l.Wake()
	return true
}

// Wake makes the loop pass through one more tick, hooks included. Any goroutine may call it; calls
// coalesce, and a loop that is awake costs no system call.
func (l *Loop) Wake() {
	if l.signal.Swap(true) || !l.sleeping.Load() {
		return
	}
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if !l.released {
		_ = l.poller.Wake() // The eventfd or pipe of a running loop does not fail.
	}
}

// Stop makes Run return after the present tick. Any goroutine may call it.
func (l *Loop) Stop() {
	l.stopping.Store(true)
	l.Wake()
}
