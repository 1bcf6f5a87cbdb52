//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor/internal/sys"
	"sluice/reactor/reactortest"
)

// sourceFunc is a Source that is one function.
type sourceFunc func(*Loop, Event)

func (f sourceFunc) OnEvent(l *Loop, ev Event) { f(l, ev) }

// seen is a Source that remembers what it was told.
type seen []Event

func (s *seen) OnEvent(_ *Loop, ev Event) { *s = append(*s, ev) }

// newLoop returns a loop to be stepped on a scripted kernel.
func newLoop(t testing.TB, o Options) (*Loop, *reactortest.Kernel) {
	t.Helper()
	k := reactortest.New()
	k.StopClock()
	o.Kernel = k
	l, err := NewLoop(o)
	must(t, err)
	t.Cleanup(l.Release)
	return l, k
}

// attach registers fd, which from here on is the loop's to close.
func attach(t testing.TB, l *Loop, fd int, in Interest, m Mode, src Source) Token {
	t.Helper()
	token, err := l.Register(fd, in, m, src)
	must(t, err)
	delete(owned, fd)
	return token
}

// quiet watches a socket on which nothing ever happens.
func quiet(t testing.TB, l *Loop, src Source) Token {
	t.Helper()
	fd, _ := socketPair(t)
	return attach(t, l, fd, Readable, Edge, src)
}

// step makes a tick that does not wait.
func step(t testing.TB, l *Loop) {
	t.Helper()
	l.Wake()
	must(t, l.Tick())
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func TestTickRunsItsPhasesInOrder(t *testing.T) {
	l, k := newLoop(t, Options{})
	var phases []string
	note := func(phase string) sourceFunc {
		return func(*Loop, Event) { phases = append(phases, phase) }
	}
	closing, peer := socketPair(t)
	attach(t, l, closing, Readable, Edge, sourceFunc(func(l *Loop, ev Event) {
		l.Close(ev.Token)
		phases = append(phases, "event")
	}))
	// Asked for in an order that is not theirs.
	l.BeforeSleep(func() time.Duration {
		phases = append(phases, "hook")
		if !isOpen(closing) {
			t.Error("a descriptor was closed before the hooks had run")
		}
		return -1
	})
	l.BeforeSleep(func() time.Duration { phases = append(phases, "second hook"); return -1 })
	l.SetTimer(quiet(t, l, note("timer")), time.Second)
	k.Advance(time.Second + wheelTick)
	if !l.Post(func(*Loop) { phases = append(phases, "task") }) {
		t.Fatal("post refused")
	}
	l.Requeue(quiet(t, l, note("requeued")), Readable)
	write(t, peer, "x")

	must(t, l.Tick())
	if want := []string{"event", "requeued", "task", "timer", "hook", "second hook"}; !slices.Equal(phases, want) {
		t.Errorf("%q, want %q", phases, want)
	}
	if isOpen(closing) {
		t.Error("a closed source's descriptor is open after the tick")
	}
	if got := l.Stats(); got != (Stats{Ticks: 1, Events: 2}) {
		t.Errorf("%+v", got)
	}
}

// Three visits fill a tick's time. The others keep their places, before those who ask again.
func TestVisitsEndWhenTheirTimeIsOver(t *testing.T) {
	l, k := newLoop(t, Options{})
	var order []int
	var tokens []Token
	for i := range 5 {
		tokens = append(tokens, quiet(t, l, sourceFunc(func(l *Loop, ev Event) {
			order = append(order, i)
			k.Advance(visitsTime * 2 / 5)
			l.Requeue(ev.Token, Readable)
		})))
		l.Requeue(tokens[i], Readable)
	}
	for tick, want := range [][]int{{0, 1, 2}, {3, 4, 0}, {1, 2, 3}, {4, 0, 1}, {2, 3, 4}} {
		order = order[:0:0]
		step(t, l)
		if !slices.Equal(order, want) {
			t.Errorf("tick %d visited %v, want %v", tick, order, want)
		}
	}
}

// A source that is deferred waits for the others that are, and nobody else does: each line has its
// own time.
func TestDeferredSourcesHoldUpNobodyElse(t *testing.T) {
	l, k := newLoop(t, Options{})
	var order []string
	for _, name := range []string{"slow 1", "slow 2", "slow 3"} {
		l.RequeueCostly(quiet(t, l, sourceFunc(func(l *Loop, ev Event) {
			order = append(order, name)
			k.Advance(2 * visitsTime)
			l.RequeueCostly(ev.Token, Readable)
		})), Readable)
	}
	quick := quiet(t, l, sourceFunc(func(l *Loop, ev Event) {
		order = append(order, "quick")
		l.Requeue(ev.Token, Readable)
	}))
	l.Requeue(quick, Readable)
	l.RequeueCostly(quick, Writable) // It keeps its place.
	for range 4 {
		step(t, l)
	}
	if want := []string{"quick", "slow 1", "quick", "slow 2", "quick", "slow 3", "quick", "slow 1"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}

func TestSignalDuringTheWaitIsATickWithoutEvents(t *testing.T) {
	l, k := newLoop(t, Options{})
	fd, peer := socketPair(t)
	var got seen
	attach(t, l, fd, Readable, Edge, &got)
	write(t, peer, "x")
	k.Fail(reactortest.Wait, reactortest.AnyFD, syscall.EINTR)
	must(t, l.Tick())
	if len(got) != 0 {
		t.Errorf("%v with the signal", got)
	}
	must(t, l.Tick())
	if len(got) != 1 {
		t.Errorf("%v after the signal", got)
	}
}

func TestRunEndsWhenThePollerFails(t *testing.T) {
	l, k := newLoop(t, Options{})
	fd, _ := socketPair(t)
	attach(t, l, fd, Readable, Edge, new(seen))
	k.Fail(reactortest.Wait, reactortest.AnyFD, syscall.EBADF)
	if err := l.Run(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("%v, want EBADF", err)
	}
	if isOpen(fd) || l.Post(func(*Loop) {}) {
		t.Error("a failed loop keeps its descriptors or takes tasks")
	}
}

func TestLoopThatCannotOpenItsPoller(t *testing.T) {
	if l, err := NewLoop(Options{Kernel: noPoller{}}); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("%v, %v", l, err)
	}
}

func TestOptionsHaveDefaults(t *testing.T) {
	l, err := NewLoop(Options{})
	must(t, err)
	defer l.Release()
	if _, ok := l.Kernel().(sys.Real); !ok || cap(l.events) != 128 || l.mailbox.limit != 4096 {
		t.Errorf("kernel %T, %d events, %d tasks", l.Kernel(), cap(l.events), l.mailbox.limit)
	}
}
