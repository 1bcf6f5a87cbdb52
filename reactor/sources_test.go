//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"sluice/reactor/reactortest"
)

// Whichever of two sources comes first in a batch closes the other, whose event lies in the batch
// too.
func TestK17_CloseInsideABatchDropsStaleEvent(t *testing.T) {
	l, k := newLoop(t, Options{})
	var tokens []Token
	var visited []Token
	closeOther := sourceFunc(func(l *Loop, ev Event) {
		visited = append(visited, ev.Token)
		for _, token := range tokens {
			if token != ev.Token {
				l.Close(token)
				l.Close(token) // Closing twice is closing once.
			}
		}
	})
	for range 2 {
		fd, peer := socketPair(t)
		tokens = append(tokens, attach(t, l, fd, Readable, Edge, closeOther))
		write(t, peer, "x")
	}
	must(t, l.Tick())
	if len(visited) != 1 || l.Stats().StaleEvents != 1 || l.Len() != 1 || k.Count(reactortest.Close) != 1 {
		t.Errorf("visited %v, %+v, %d sources left, %d closes", visited, l.Stats(), l.Len(), k.Count(reactortest.Close))
	}
}

// The number of a descriptor given away inside a batch comes back at once, in the same slot, while
// the batch still holds an event for its former owner.
func TestK17_NumberReusedInsideABatchMeetsAnotherGeneration(t *testing.T) {
	l, _ := newLoop(t, Options{})
	var first, second, fresh Token
	var successor seen
	replaceOther := sourceFunc(func(l *Loop, ev Event) {
		other := first
		if ev.Token == first {
			other = second
		}
		fd, err := l.Detach(other)
		must(t, err)
		owned[fd] = true
		reuseNumber(t, fd)
		fresh = attach(t, l, fd, Readable, Edge, &successor)
		if fresh.slot() != other.slot() || fresh == other {
			t.Errorf("%v follows %v", fresh, other)
		}
		// What the former owner's token asks for does not reach the new one.
		l.Requeue(other, Readable)
		l.SetTimer(other, 1)
		l.Close(other)
		if err := l.Rearm(other, Writable); !errors.Is(err, ErrClosed) {
			t.Errorf("rearm of a stale token: %v", err)
		}
		if _, ok := l.Source(other); ok {
			t.Error("a stale token has a source")
		}
	})
	for _, token := range []*Token{&first, &second} {
		fd, peer := socketPair(t)
		*token = attach(t, l, fd, Readable, Edge, replaceOther)
		write(t, peer, "x")
	}
	must(t, l.Tick())
	step(t, l)
	if len(successor) != 0 || l.Stats().StaleEvents != 1 || l.Stats().Events != 1 {
		t.Errorf("the successor saw %v; %+v", successor, l.Stats())
	}
	if _, ok := l.Source(fresh); !ok {
		t.Error("the successor is gone")
	}
}

func TestRequeueVisitsNextTickAfterOthersEvents(t *testing.T) {
	l, _ := newLoop(t, Options{})
	var order []string
	budget := quiet(t, l, sourceFunc(func(l *Loop, ev Event) {
		order = append(order, "requeued")
		if len(order) < 4 {
			l.Requeue(ev.Token, Readable)
		}
	}))
	fd, peer := socketPair(t)
	attach(t, l, fd, Readable, Edge, sourceFunc(func(*Loop, Event) { order = append(order, "event") }))
	l.Requeue(budget, Readable)
	for range 2 { // Nothing wakes these ticks: the requeued source alone keeps them from waiting.
		write(t, peer, "x")
		must(t, l.Tick())
	}
	if want := []string{"event", "requeued", "event", "requeued"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
	if d := l.timeout(l.Elapsed()); d >= 0 {
		t.Errorf("the loop would sleep %v with nothing left to do, want no bound", d)
	}
}

func TestRequeueMergesInterests(t *testing.T) {
	l, _ := newLoop(t, Options{})
	var got seen
	token := quiet(t, l, &got)
	l.Requeue(token, Readable)
	l.Requeue(token, Readable)
	l.Requeue(token, Writable)
	step(t, l)
	step(t, l)
	if want := (Event{Token: token, ready: readyRead | readyWrite | readyAgain}); !slices.Equal(got, seen{want}) {
		t.Errorf("%v, want %v alone", got, want)
	}
}

// A source that is in line to read does not get ahead of it by having more to read. To write, or to
// fail, it need not wait.
func TestNewBytesDoNotShortenTheLine(t *testing.T) {
	l, _ := newLoop(t, Options{EventsMax: 1})
	var order []string
	var got seen
	fd, peer := socketPair(t)
	first := quiet(t, l, sourceFunc(func(*Loop, Event) { order = append(order, "first") }))
	second := attach(t, l, fd, Readable|Writable, Edge, sourceFunc(func(l *Loop, ev Event) {
		order = append(order, "second")
		got.OnEvent(l, ev)
	}))
	step(t, l) // It can be written to.
	got, order = nil, nil
	l.Requeue(first, Readable)
	l.Requeue(second, Readable)
	write(t, peer, "x")
	step(t, l)
	if want := []string{"first"}; !slices.Equal(order[len(order)-1:], want) {
		t.Errorf("%q, want the first in line last", order)
	}
	for _, ev := range got {
		if ev.Readable() {
			t.Errorf("%v before its turn", ev)
		}
	}
	step(t, l)
	if last := got[len(got)-1]; order[len(order)-1] != "second" || !last.Readable() {
		t.Errorf("%q, the last of which is told %v", order, last)
	}
	n := len(got)
	for range 2 {
		step(t, l)
	}
	if len(got) != n {
		t.Errorf("it was told again: %v", got[n:])
	}
}

func TestRequeuedSourceThatClosesIsNotVisited(t *testing.T) {
	l, _ := newLoop(t, Options{})
	var got seen
	closed, reused := quiet(t, l, &got), quiet(t, l, &got)
	l.Requeue(closed, Readable)
	l.Close(closed)
	l.Requeue(closed, Writable) // Too late.
	l.Requeue(reused, Readable)
	fd, err := l.Detach(reused)
	must(t, err)
	successor := attach(t, l, fd, Readable, Edge, &got)
	step(t, l)
	if len(got) != 0 || successor.slot() != reused.slot() {
		t.Errorf("%v was visited", got)
	}
}

func TestRearmReportsRoomThatCameMeanwhile(t *testing.T) {
	l, _ := newLoop(t, Options{})
	fd, peer := socketPair(t)
	var got seen
	token := attach(t, l, fd, Readable, Edge, &got)
	fill(t, fd)
	must(t, l.Rearm(token, Readable|Writable))
	step(t, l)
	if len(got) != 0 {
		t.Fatalf("%v from a full socket", got)
	}
	drain(t, peer)
	step(t, l)
	if len(got) != 1 || !got[0].Writable() {
		t.Fatalf("%v after the socket was drained, want writable", got)
	}
	must(t, l.Rearm(token, Readable))
	step(t, l)
	if len(got) != 1 {
		t.Errorf("%v from one that asks for Readable alone", got)
	}
}

// The socket fills, is refused, and has room again before Writable was asked for: its edge has
// passed.
func TestE04_RoomThatComesBeforeRearmingIsReported(t *testing.T) {
	l, _ := newLoop(t, Options{})
	fd, peer := socketPair(t)
	var got seen
	token := attach(t, l, fd, Readable, Edge, &got)
	fill(t, fd)
	drain(t, peer)
	step(t, l)
	must(t, l.Rearm(token, Readable|Writable))
	step(t, l)
	if len(got) == 0 || !got[len(got)-1].Writable() {
		t.Errorf("%v, want writable", got)
	}
}

func TestDetachHandsTheDescriptorOverAliveAndUnwatched(t *testing.T) {
	l, k := newLoop(t, Options{})
	fd, peer := socketPair(t)
	var got seen
	token := attach(t, l, fd, Readable, Edge, &got)
	l.SetTimer(token, time.Second)
	l.Requeue(token, Readable)
	detached, err := l.Detach(token)
	must(t, err)
	own(t, detached)
	write(t, peer, "x")
	k.Advance(1500 * time.Millisecond)
	step(t, l)
	if detached != fd || len(got) != 0 || l.Len() != 0 {
		t.Errorf("descriptor %d of %d, events %v, %d sources", detached, fd, got, l.Len())
	}
	if _, err := l.Detach(token); !errors.Is(err, ErrClosed) {
		t.Errorf("detached twice: %v", err)
	}
	l.Release()
	if n, err := readSome(detached); n != 1 || err != nil {
		t.Errorf("read %d, %v from the detached descriptor", n, err)
	}
}

func TestClosingSourceCannotBeDetached(t *testing.T) {
	l, _ := newLoop(t, Options{})
	token := quiet(t, l, new(seen))
	l.Close(token)
	if _, err := l.Detach(token); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	if err := l.Rearm(token, Readable); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	for range l.Sources {
		t.Error("a closing source is listed")
	}
}

func TestK16_RefusedRegisterLeavesNothingBehind(t *testing.T) {
	l, k := newLoop(t, Options{})
	fd, peer := socketPair(t)
	k.Fail(reactortest.Register, fd, syscall.ENOSPC) // fs.epoll.max_user_watches
	if _, err := l.Register(fd, Readable, Edge, new(seen)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want ENOSPC", err)
	}
	if l.Len() != 0 || !isOpen(fd) || k.Count(reactortest.Close) != 0 {
		t.Errorf("%d sources, open: %v", l.Len(), isOpen(fd))
	}
	var got seen
	attach(t, l, fd, Readable, Edge, &got)
	write(t, peer, "x")
	must(t, l.Tick())
	if len(got) != 1 {
		t.Errorf("%v after the second attempt", got)
	}
}

func TestSourcesAreBounded(t *testing.T) {
	l, _ := newLoop(t, Options{SourcesMax: 1})
	token := quiet(t, l, new(seen))
	fd, _ := socketPair(t)
	if _, err := l.Register(fd, Readable, Edge, new(seen)); err == nil || !isOpen(fd) {
		t.Errorf("%v beyond the bound; open: %v", err, isOpen(fd))
	}
	l.Close(token)
	step(t, l)
	attach(t, l, fd, Readable, Edge, new(seen))
}
