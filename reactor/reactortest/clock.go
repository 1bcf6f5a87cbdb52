package reactortest

import (
	"sync"
	"time"
)

const (
	// passStep is well below the two seconds beyond which a loop takes an overlong wait for a pause
	// of the process.
	passStep = time.Second
	patience = 20 * time.Second // of real time
)

// waitHook gets the timeout of a wait that begins; negative is none.
type waitHook func(timeout time.Duration)

// clock is the real clock plus what Advance added, or standing.
type clock struct {
	mu      sync.Mutex
	ahead   time.Duration
	at      time.Duration
	stopped bool
}

// StopClock makes time stand still except for Advance. Call it before a loop is made on this
// kernel. A wait with a timeout then ends when the clock has been moved past its end, within a
// millisecond of real time, or by an event.
func (k *Kernel) StopClock() {
	k.clock.mu.Lock()
	defer k.clock.mu.Unlock()
	k.clock.at, k.clock.stopped = k.real.Now(), true
}

// Advance moves the clock on in one leap, be it stopped or not. Waits under a running clock end no
// sooner for it. A loop whose wait is overshot by more than two seconds takes that for a pause of
// the whole process; see Pass.
func (k *Kernel) Advance(d time.Duration) {
	k.clock.mu.Lock()
	defer k.clock.mu.Unlock()
	k.clock.ahead += d
}

// Pass moves a stopped clock on as time passes: in steps, each of which every loop on this kernel
// has lived through, and gone to wait again, before the next. It is for loops that run on
// goroutines of their own, and panics when one of them stays busy for twenty seconds of real time.
func (k *Kernel) Pass(d time.Duration) {
	for d > 0 {
		step := min(d, passStep)
		k.Advance(step)
		d -= step
		k.settle()
	}
}

// settle waits until every loop sleeps towards a time still to come.
func (k *Kernel) settle() {
	for start := time.Now(); !k.isSettled(); time.Sleep(100 * time.Microsecond) {
		if time.Since(start) > patience {
			panic("reactortest: a loop does not go to sleep")
		}
	}
}

func (k *Kernel) isSettled() bool {
	now := k.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, end := range k.sleeps {
		if end <= now {
			return false
		}
	}
	return true
}

// Now implements reactor.Kernel.
func (k *Kernel) Now() time.Duration {
	k.clock.mu.Lock()
	defer k.clock.mu.Unlock()
	if k.clock.stopped {
		return k.clock.at + k.clock.ahead
	}
	return k.real.Now() + k.clock.ahead
}

// OnWait calls hook on the waiting goroutine as each wait begins, with its timeout; nil takes the
// hook away. A hook that advances a stopped clock by the timeout makes every wait end at once as
// though its time had passed; by more, as though the whole process had been stopped meanwhile.
func (k *Kernel) OnWait(hook func(timeout time.Duration)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.onWait = hook
}
