//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"math"
	"slices"
	"testing"
	"time"

	"sluice/reactor/reactortest"
)

// fired counts timeouts.
type fired int

func (f *fired) OnEvent(_ *Loop, ev Event) {
	if ev.Timeout() {
		*f++
	}
}

// stepAt moves the clock on and ticks.
func stepAt(t *testing.T, l *Loop, k *reactortest.Kernel, by time.Duration) {
	t.Helper()
	k.Advance(by)
	step(t, l)
}

func TestTimerFiresOnceAndNotBefore(t *testing.T) {
	l, k := newLoop(t, Options{})
	var f fired
	token := quiet(t, l, &f)
	l.SetTimer(token, time.Second)
	stepAt(t, l, k, time.Second-1)
	if f != 0 {
		t.Error("fired early")
	}
	stepAt(t, l, k, wheelTick)
	stepAt(t, l, k, time.Second)
	if f != 1 {
		t.Errorf("fired %d times", f)
	}
}

func TestSetTimerReplacesAndZeroCancels(t *testing.T) {
	l, k := newLoop(t, Options{})
	var sooner, later, cancelled, never fired
	for _, c := range []struct {
		f      *fired
		timers []time.Duration
	}{
		{&sooner, []time.Duration{time.Minute, 100 * time.Millisecond}},
		{&later, []time.Duration{100 * time.Millisecond, time.Minute}},
		{&cancelled, []time.Duration{100 * time.Millisecond, 0}},
		{&never, []time.Duration{math.MaxInt64}},
	} {
		token := quiet(t, l, c.f)
		for _, after := range c.timers {
			l.SetTimer(token, after)
		}
	}
	stepAt(t, l, k, 200*time.Millisecond)
	if sooner != 1 || later != 0 || cancelled != 0 {
		t.Errorf("after 0.2 s: sooner %d, later %d, cancelled %d", sooner, later, cancelled)
	}
	for range 60 {
		stepAt(t, l, k, time.Second)
	}
	if sooner != 1 || later != 1 || cancelled != 0 || never != 0 {
		t.Errorf("after a minute: sooner %d, later %d, cancelled %d, never %d", sooner, later, cancelled, never)
	}
}

func TestTimerOfAClosedSourceDoesNotFire(t *testing.T) {
	l, k := newLoop(t, Options{})
	var f fired
	token := quiet(t, l, &f)
	l.SetTimer(token, time.Second)
	l.Close(token)
	l.SetTimer(token, time.Second) // Too late.
	step(t, l)
	successor := quiet(t, l, &f)
	l.SetTimer(token, time.Second) // In its former slot.
	stepAt(t, l, k, 1500*time.Millisecond)
	if f != 0 || l.wheel.Len() != 0 || successor.slot() != token.slot() {
		t.Errorf("fired %d times, %d timers left", f, l.wheel.Len())
	}
}

// Several timers are due in one tick; the first to fire cancels, moves and closes the others.
func TestTimerCancelledByAnotherOfTheSameTickDoesNotFire(t *testing.T) {
	for name, stop := range map[string]func(*Loop, Token){
		"cancelled": func(l *Loop, t Token) { l.SetTimer(t, 0) },
		"moved":     func(l *Loop, t Token) { l.SetTimer(t, time.Hour) },
		"closed":    (*Loop).Close,
	} {
		t.Run(name, func(t *testing.T) {
			l, k := newLoop(t, Options{})
			var tokens, visited []Token
			for range 3 {
				tokens = append(tokens, quiet(t, l, sourceFunc(func(l *Loop, ev Event) {
					visited = append(visited, ev.Token)
					for _, other := range tokens {
						if other != ev.Token {
							stop(l, other)
						}
					}
				})))
				l.SetTimer(tokens[len(tokens)-1], time.Second)
			}
			stepAt(t, l, k, 1500*time.Millisecond)
			stepAt(t, l, k, 1500*time.Millisecond)
			if len(visited) != 1 {
				t.Errorf("%v fired, want one", visited)
			}
		})
	}
}

// 100,000 timeouts in one tick: others' events are handled between slices, and the loop does not
// sleep before the last.
func TestE06_ManyTimersDueAtOnceLeaveRoomForEvents(t *testing.T) {
	const count = 100_000
	l, k := newLoop(t, Options{})
	var f fired
	tokens := make([]Token, count)
	for i := range tokens { // Without descriptors, of which there are not so many.
		tokens[i], _ = l.sources.Insert(entry{source: &f, fd: -1})
		l.SetTimer(tokens[i], time.Second)
	}
	defer func() {
		for _, token := range tokens {
			l.sources.Remove(token)
		}
	}()
	fd, peer := socketPair(t)
	events := 0
	attach(t, l, fd, Readable, Edge, sourceFunc(func(*Loop, Event) { events++ }))
	k.Advance(1500 * time.Millisecond)
	k.OnWait(func(timeout time.Duration) {
		if timeout != 0 && f > 0 {
			t.Fatalf("the loop sleeps for %v with %d timers to fire", timeout, count-f)
		}
	})
	for ticks := 1; f < count; ticks++ {
		before := f
		write(t, peer, "x")
		must(t, l.Tick())
		if f-before > timersPerTick || events != ticks {
			t.Fatalf("%d timers fired in tick %d, which had handled %d events", f-before, ticks, events)
		}
	}
}

// A wait of 100 ms takes ten seconds, as when the process was stopped: nobody is timed out for
// that.
func TestE09_ClockStandsStillWhileTheProcessDid(t *testing.T) {
	l, k := newLoop(t, Options{})
	var short, long fired
	l.SetTimer(quiet(t, l, &short), 100*time.Millisecond)
	l.SetTimer(quiet(t, l, &long), 5*time.Second)
	before := l.Now()
	step(t, l)
	k.OnWait(func(timeout time.Duration) { k.Advance(timeout + 10*time.Second) })
	must(t, l.Tick())
	k.OnWait(nil)
	if passed := l.Now() - before; passed < 100*time.Millisecond || passed > 100*time.Millisecond+2*wheelTick {
		t.Errorf("the clock moved by %v, want about 100 ms", passed)
	}
	if l.Stats().Pauses != 1 || short != 1 || long != 0 {
		t.Errorf("%d pauses; the short timer fired %d times, the long one %d", l.Stats().Pauses, short, long)
	}
	if l.Elapsed() != l.Now() {
		t.Errorf("the clock read anew says %v, want %v", l.Elapsed(), l.Now())
	}
	for range 10 {
		stepAt(t, l, k, 500*time.Millisecond)
	}
	if long != 1 || l.Stats().Pauses != 1 {
		t.Errorf("five seconds later the long timer has fired %d times, with %d pauses", long, l.Stats().Pauses)
	}
}

func TestLongSleepWithoutTimersIsNoPause(t *testing.T) {
	l, k := newLoop(t, Options{})
	step(t, l)
	before := l.Now()
	k.OnWait(func(timeout time.Duration) {
		if timeout < 0 {
			k.Advance(time.Hour)
			l.Wake()
		}
	})
	must(t, l.Tick())
	if passed := l.Now() - before; passed != time.Hour || l.Stats().Pauses != 0 {
		t.Errorf("%v passed, %d pauses", passed, l.Stats().Pauses)
	}
}

func TestHooksBoundTheSleep(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		hooks []time.Duration
		timer time.Duration
		want  time.Duration
	}{
		{nil, 0, -ms}, // -1 ms: without bound.
		{[]time.Duration{-1}, 0, -ms},
		{[]time.Duration{0}, 0, 0},
		{[]time.Duration{30 * ms}, 0, 30 * ms},
		{[]time.Duration{30*ms + 1}, 0, 31 * ms},
		{[]time.Duration{30 * ms, -1}, 0, 30 * ms},
		{[]time.Duration{-1, 30 * ms, 20 * ms, 40 * ms}, 0, 20 * ms},
		{[]time.Duration{30 * ms, 0}, 0, 0},
		{[]time.Duration{time.Minute}, time.Second, time.Second},
		{[]time.Duration{30 * ms}, time.Second, 30 * ms},
		{[]time.Duration{-1}, time.Second, time.Second},
		{[]time.Duration{0}, time.Second, 0},
	} {
		l, k := newLoop(t, Options{})
		for _, d := range c.hooks {
			l.BeforeSleep(func() time.Duration { return d })
		}
		if c.timer > 0 {
			l.SetTimer(quiet(t, l, new(seen)), c.timer)
		}
		step(t, l)
		var waits []time.Duration
		k.OnWait(func(timeout time.Duration) {
			waits = append(waits, timeout)
			k.Advance(max(0, timeout))
			if timeout < 0 {
				l.Wake()
			}
		})
		must(t, l.Tick())
		slack := time.Duration(0)
		if c.want >= c.timer && c.timer > 0 {
			slack = wheelTick
		}
		if len(waits) != 1 || waits[0] < c.want || waits[0] > c.want+slack {
			t.Errorf("hooks %v and a timer of %v: waited %v, want %v", c.hooks, c.timer, waits, c.want)
		}
	}
}

func TestTimersThatAreNotDueLetTheLoopSleep(t *testing.T) {
	l, k := newLoop(t, Options{})
	var waits []time.Duration
	k.OnWait(func(timeout time.Duration) {
		waits = append(waits, timeout)
		k.Advance(timeout)
	})
	var f fired
	l.SetTimer(quiet(t, l, &f), 10*time.Second)
	for f == 0 && len(waits) < 100 {
		must(t, l.Tick())
	}
	if f != 1 || len(waits) > 3 || slices.Max(waits) < 9*time.Second {
		t.Errorf("one timer took waits of %v", waits)
	}
}
