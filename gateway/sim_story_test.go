//go:build linux

package gateway

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// live runs the whole story: faults, recovery, end.
func (w *world) live() error {
	defer w.end()
	w.Kernel.SetFaults(w.Plan.Faults)
	for w.Steps < w.Plan.Steps && w.Err == nil {
		w.step()
	}
	w.heal()
	w.forsake()
	w.lull()
	w.leaveAll()
	w.shutDown()
	if err := w.Kernel.Err(); err != nil && w.Err == nil {
		w.Err = err
	}
	return w.Err
}

const (
	// healRounds and healTime bound the recovery: rounds in which everybody who can gets a turn,
	// and the time that passes.
	healRounds = 2_000_000
	healTime   = 60 * time.Second // patientTime where a subscriber takes its time
)

// until gives everybody turns, without faults, until done says so.
func (w *world) until(what string, done func() string) {
	begin := w.Kernel.Now()
	for round := 0; w.Err == nil; round++ {
		if round > healRounds {
			w.Fail("%s: after %d rounds there is no peace", what, round)
		}
		if !w.round() {
			waitsFor := done()
			if waitsFor == "" {
				return
			}
			if passed := w.Kernel.Now() - begin; passed > w.healsWithin() {
				w.Fail("%s: after %d rounds and %v still waiting for %s", what, round, passed, waitsFor)
				return
			}
			w.inspectQuiet()
			w.passTime()
		}
	}
}

// round lets each loop that can go on, and each client, have a turn. It reports whether anything
// happened.
func (w *world) round() (busy bool) {
	w.Steps++
	w.Kernel.Advance(20 * time.Microsecond)
	for _, l := range w.runnable() {
		if w.canRun(l) && w.Err == nil {
			w.run(l)
			busy = true
		}
	}
	for range len(w.actors) {
		if !w.Kernel.Step() {
			break
		}
		busy = true
	}
	busy = w.stepBuilder() || busy
	for _, a := range w.actors {
		busy = a.Act() || busy
	}
	return busy
}

// heal ends all faults and waits until everybody who may still be here has everything.
func (w *world) heal() {
	if w.Err != nil {
		return
	}
	w.Kernel.Note("healing")
	w.Kernel.Calm()
	w.IsHealing, w.answersAt = true, w.Kernel.Now()
	w.until("healing", func() string {
		for _, c := range w.clients {
			if waitsFor := c.WaitsFor(); waitsFor != "" {
				return fmt.Sprintf("client %d: %s", c.No, waitsFor)
			}
		}
		for _, r := range w.readers {
			if waitsFor := r.WaitsFor(); waitsFor != "" {
				return fmt.Sprintf("reader %d: %s", r.No, waitsFor)
			}
		}
		for _, s := range w.World.Subscribers {
			if waitsFor := s.WaitsFor(); waitsFor != "" {
				return fmt.Sprintf("subscriber %d: %s", s.No, waitsFor)
			}
		}
		return ""
	})
}

// lull lets time pass in which nobody has anything to say: pings go out, rooms become idle, the
// deaf are found out. Whoever answers stays, also when the whole process stood still meanwhile.
func (w *world) lull() {
	if w.Err != nil || w.Plan.Lull == 0 {
		return
	}
	w.Kernel.Note("a lull")
	if w.Plan.Pauses {
		w.pause(10 * time.Second)
	}
	end := w.Kernel.Now() + w.Plan.Lull
	w.until("a lull", func() string {
		if w.Kernel.Now() < end {
			return "its end"
		}
		return ""
	})
}

// pause is the whole process standing still, as under SIGSTOP, while the clock goes on.
func (w *world) pause(d time.Duration) {
	now := w.Kernel.Now()
	w.wasPaused = true
	for _, l := range w.loops {
		// A loop that was to sleep on for some time takes only the rest for a pause, and none that
		// is hardly longer.
		if left := l.until - now; l.isAsleep && d > left+pauseMargin {
			l.pausedAt, l.pausedFor = now, d-left
		}
	}
	w.Kernel.Advance(d)
}

// pauseMargin is the excess over its timeout from which on a loop takes a wait for a pause of the
// whole process.
const pauseMargin = 2 * time.Second

// leaveAll lets everybody leave, in their several ways, or be sent away.
func (w *world) leaveAll() {
	if w.Err != nil {
		return
	}
	w.Kernel.Note("leaving")
	if w.answersAt = 0; w.Plan.RoughEnd {
		w.Kernel.SetFaults(w.Plan.Faults)
	}
	if w.IsDraining = w.Plan.Drains; w.IsDraining {
		for _, l := range w.loops {
			if !l.w.loop.Post(func(*reactorLoop) { l.w.startDrain(l.w.cfg.DrainTimeout) }) {
				w.Fail("a mailbox refused")
			}
		}
	}
	for _, c := range w.clients {
		c.Leave()
	}
	for _, r := range w.readers {
		r.Leave()
	}
	for _, s := range w.World.Subscribers {
		s.Leave()
	}
	fixed := w.fixed // Descriptors that stay.
	if w.IsDraining {
		fixed-- // the listener's
	}
	w.until("leaving", func() string {
		switch {
		case w.server.Open() != 0:
			return fmt.Sprintf("%d connections to end", w.server.Open())
		case w.Kernel.Open() != fixed:
			return fmt.Sprintf("%d descriptors to close", w.Kernel.Open()-fixed)
		case w.server.hub.Rooms() != 0:
			return fmt.Sprintf("%d rooms to go", w.server.hub.Rooms())
		}
		for _, c := range w.clients {
			if !c.IsClosed {
				return fmt.Sprintf("client %d to see its end", c.No)
			}
		}
		for _, r := range w.readers {
			if !r.IsClosed {
				return fmt.Sprintf("reader %d to see its end", r.No)
			}
		}
		for _, s := range w.World.Subscribers {
			if !s.IsClosed {
				return fmt.Sprintf("subscriber %d to see its end", s.No)
			}
		}
		return ""
	})
	w.settleAccounts()
	w.settleMemory()
	w.checkOrders()
	w.checkChronicles()
}

// settleAccounts holds the gateway's own figures against each other.
func (w *world) settleAccounts() {
	if w.Err != nil {
		return
	}
	sum := w.server.final()
	closed := uint64(0)
	for _, n := range sum.Closed {
		closed += n
	}
	if closed != sum.Accepted {
		w.Fail("%d connections were accepted and %d closed", sum.Accepted, closed)
	}
	if n := sum.Hub.Due(); n != 0 {
		w.Fail("all have left, and of messages %d came to nothing: %+v", int64(n), sum.Hub.Account)
	}
	for r := range w.rooms {
		if a := r.Account(); a.Due() != 0 {
			w.Fail("all have left room %s, and of its messages %d came to nothing: %+v", r.Name(), int64(a.Due()), a)
		}
	}
}

// shutDown stops the loops in order.
func (w *world) shutDown() {
	if w.Err != nil {
		return
	}
	w.stopLoops()
	for round := 0; w.Err == nil && len(w.runnable()) > 0; round++ {
		for _, l := range w.runnable() {
			w.run(l)
		}
		if round > 1000 {
			w.Fail("the loops do not end")
		}
	}
	for i, l := range w.loops {
		if !l.hasEnded && w.Err == nil {
			w.Fail("loop %d sleeps on although it was stopped", i)
		}
	}
	w.server.release()
	if n := w.Kernel.Open() + w.Kernel.Rings(); n != 0 && w.Err == nil {
		w.Fail("%d descriptors are left open", n)
	}
}

func (w *world) stopLoops() {
	for _, l := range w.loops {
		l.w.loop.Stop()
	}
}

// end takes the coroutines away, whatever state they are in.
func (w *world) end() {
	w.Kernel.OnCall(nil)
	w.Kernel.OnSleep(nil)
	w.stopLoops()
	for _, l := range w.loops {
		w.current = l
		l.stop()
	}
	w.current = nil
	if w.builder != nil {
		w.builder.stop()
	}
}

// panicked makes an error of a panic, with the stack.
func panicked(p any) error {
	buf := make([]byte, 16<<10)
	return fmt.Errorf("panic: %v\n%s", p, buf[:runtime.Stack(buf, false)])
}

// simulate runs one seed. A panic is a finding like any other.
func simulate(seed uint64) (w *world, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
			if w.Story == "" {
				w.Story = w.Kernel.Trace()
			}
		}
	}()
	w, err = newWorld(seed)
	if err != nil {
		return w, errors.Join(errors.New("the world could not be made"), err)
	}
	return w, w.live()
}
