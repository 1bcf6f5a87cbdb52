//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// clumsy panics at its events, and counts them.
type clumsy struct {
	events int
	how    func(l *reactor.Loop)
}

func (c *clumsy) OnEvent(l *reactor.Loop, _ reactor.Event) {
	c.events++
	if c.how != nil {
		c.how(l)
	}
}

// N27: an edge is reported once. Whoever comes behind a source that panics, in the same batch of
// events, of requeued sources or of timers, still hears of it.
func TestN27_LoopGoesOnBehindAPanic(t *testing.T) {
	var heard []reactor.Source
	k := reactortest.New()
	l := loopOn(t, k, reactor.Options{OnPanic: func(s reactor.Source, p reactor.Panic) {
		if p.Value != "oh" || p.Passed("sluice/reactor") {
			t.Errorf("panicked with %v", p.Value)
		}
		heard = append(heard, s)
	}})
	oh := func(*reactor.Loop) { panic("oh") }
	first, second, third := &clumsy{how: oh}, &clumsy{}, &clumsy{how: oh}
	tokens := []reactor.Token{register(t, l, first), register(t, l, second), register(t, l, third)}
	for _, token := range tokens {
		l.Requeue(token, reactor.Readable)
	}
	tick(t, l)
	for _, token := range tokens {
		l.SetTimer(token, time.Second)
	}
	k.Advance(2 * time.Second)
	tick(t, l)
	if first.events != 2 || second.events != 2 || third.events != 2 {
		t.Errorf("%d, %d and %d events, want 2 each", first.events, second.events, third.events)
	}
	for _, s := range []reactor.Source{first, third} {
		if n := len(slices.DeleteFunc(slices.Clone(heard), func(other reactor.Source) bool { return other != s })); n != 2 {
			t.Errorf("heard %d times of one that panicked twice", n)
		}
	}
}

// N27: what the loop's own parts panic with is not to be survived, and nothing is without OnPanic.
func TestN27_PanicsOfTheLoopItselfGoOn(t *testing.T) {
	ends := func(o reactor.Options, how func(*reactor.Loop)) (value any) {
		l := loopOn(t, reactortest.New(), o)
		l.Requeue(register(t, l, &clumsy{how: how}), reactor.Readable)
		defer func() { value = recover() }()
		tick(t, l)
		return nil
	}
	survive := reactor.Options{OnPanic: func(reactor.Source, reactor.Panic) {}}
	if ends(survive, func(*reactor.Loop) { new(reactor.Loop).SetTimer(0, time.Second) }) == nil {
		t.Error("a panic in the reactor's own code was survived")
	}
	if got := ends(reactor.Options{}, func(*reactor.Loop) { panic("oh") }); got != "oh" {
		t.Errorf("without OnPanic the panic ended as %v", got)
	}
	if got := ends(reactor.Options{OnPanic: func(reactor.Source, reactor.Panic) { panic("no") }}, func(*reactor.Loop) { panic("oh") }); got != "no" {
		t.Errorf("OnPanic's own panic ended as %v", got)
	}
	if got := ends(survive, func(*reactor.Loop) { panic("oh") }); got != nil {
		t.Errorf("%v was not survived", got)
	}
}

func loopOn(t *testing.T, k *reactortest.Kernel, o reactor.Options) *reactor.Loop {
	t.Helper()
	k.StopClock()
	o.Kernel = k
	l, err := reactor.NewLoop(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// register watches one end of a pair of sockets on which nothing happens.
func register(t *testing.T, l *reactor.Loop, s reactor.Source) reactor.Token {
	t.Helper()
	fd, peer := pair()
	t.Cleanup(func() { unix.Close(peer) })
	token, err := l.Register(fd, reactor.Readable, reactor.Edge, s)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func tick(t *testing.T, l *reactor.Loop) {
	t.Helper()
	if err := l.Tick(); err != nil {
		t.Fatal(err)
	}
}
