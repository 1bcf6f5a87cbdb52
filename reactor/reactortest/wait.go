//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactortest

import (
	"math"
	"time"
)

// wait is a poller's wait of msec milliseconds on this kernel's clock; poll is the real one.
func (k *Kernel) wait(poller, msec int, poll func(msec int) (int, error)) (int, error) {
	timeout := time.Duration(msec) * time.Millisecond
	end := k.Now() + timeout
	hook := k.fallAsleep(poller, timeout, end)
	defer k.awake(poller)
	if hook != nil {
		hook(timeout)
	}
	if err := k.enter(Wait, poller); err != nil {
		return 0, err
	}
	if msec <= 0 || !k.isStopped() {
		return poll(msec)
	}
	for k.Now() < end {
		// The clock may be moved meanwhile, so look again every millisecond.
		if n, err := poll(1); n != 0 || err != nil {
			return n, err
		}
	}
	return poll(0)
}

// fallAsleep notes until when a poller waits, for Pass.
func (k *Kernel) fallAsleep(poller int, timeout, end time.Duration) waitHook {
	k.mu.Lock()
	defer k.mu.Unlock()
	if timeout < 0 {
		end = math.MaxInt64
	}
	if timeout != 0 { // With zero it is busy still.
		k.sleeps[poller] = end
	}
	return k.onWait
}

func (k *Kernel) awake(poller int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sleeps[poller] = 0
}

func (k *Kernel) isStopped() bool {
	k.clock.mu.Lock()
	defer k.clock.mu.Unlock()
	return k.clock.stopped
}
