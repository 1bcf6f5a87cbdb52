package reactortest

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"sluice/reactor/internal/sys"
)

// A Call is a kind of system call, to script faults for and to count.
type Call uint8

// The kinds. A Wait's descriptor is the poller's.
const (
	Accept Call = iota
	Read
	Write
	Close
	Register // a descriptor is added to a poller
	Rearm    // a registered one is changed
	Wait     // the poller's wait
	Wake     // a write to the poller's own eventfd or pipe
	calls    // number of kinds
)

// AnyFD in Fail stands for every descriptor.
const AnyFD = -1

// A Limit says how many of the want bytes that a read or write of fd asks for may pass, off bytes
// having passed since fd was opened. With zero the call is refused with EAGAIN, with want or more
// it is left alone. Limits are called one at a time, on whatever goroutine makes the call; they
// must not call the Kernel, except for its clock.
type Limit func(fd int, off int64, want int) int

type real = sys.Real

// A Kernel is the real kernel with a script. Any goroutine may call any method, at any time. The
// pollers' own descriptors for waking are exempt from scripts.
type Kernel struct {
	real
	clock clock

	mu      sync.Mutex
	faults  map[site][]error
	limits  map[Call]Limit
	passed  map[site]int64 // bytes read and written
	counts  [calls]int
	waking  map[int]bool          // the pollers' own descriptors
	watched map[int]registration  // by descriptor; a descriptor belongs to one poller
	sleeps  map[int]time.Duration // by poller: when its present wait ends; zero while its loop works
	onWait  waitHook
}

// site is where faults strike.
type site struct {
	call Call
	fd   int
}

// New returns a kernel without faults, on the real clock.
func New() *Kernel {
	return &Kernel{
		faults: map[site][]error{}, limits: map[Call]Limit{}, passed: map[site]int64{},
		waking: map[int]bool{}, watched: map[int]registration{}, sleeps: map[int]time.Duration{},
	}
}

// Fail lets the next calls of this kind on fd fail, each with one of errs, in their order. The
// kernel does not see them. A nil error lets one call through; AnyFD's errors are used when fd has
// none of its own. Close cannot fail.
func (k *Kernel) Fail(c Call, fd int, errs ...error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := site{c, fd}
	k.faults[at] = append(k.faults[at], errs...)
}

// Limit sets the limit of Read or Write; nil takes it away.
func (k *Kernel) Limit(c Call, limit Limit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limits[c] = limit
}

// CutEvery returns a limit that ends calls at every multiple of n bytes of a descriptor's stream,
// and refuses once there.
func CutEvery(n int) Limit {
	refused := map[int]int64{} // by descriptor: the offset of its last refusal
	return func(fd int, off int64, want int) int {
		inside := int(off % int64(n))
		if inside == 0 && off > 0 && refused[fd] != off {
			refused[fd] = off
			return 0
		}
		return min(want, n-inside)
	}
}

// Count is how many calls of a kind were made since New, failed ones included.
func (k *Kernel) Count(c Call) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts[c]
}

// Accept implements reactor.Kernel.
func (k *Kernel) Accept(fd int) (int, error) {
	if err := k.enter(Accept, fd); err != nil {
		return -1, err
	}
	accepted, err := k.real.Accept(fd)
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.forget(accepted) // Its number may have been closed behind our back.
	}
	return accepted, err
}

// Read implements reactor.Kernel.
func (k *Kernel) Read(fd int, p []byte) (int, error) { return k.transfer(Read, fd, p, k.real.Read) }

// Write implements reactor.Kernel.
func (k *Kernel) Write(fd int, p []byte) (int, error) { return k.transfer(Write, fd, p, k.real.Write) }

// OpenRing implements reactor.Kernel: a ring of this kernel has nothing of the real one's.
func (k *Kernel) OpenRing(int) (*sys.Ring, error) { return new(sys.Ring), nil }

// SendRing implements reactor.Kernel.
func (k *Kernel) SendRing(_ *sys.Ring, batch []sys.Send, done []sys.Completion) (begun, completed int, err error) {
	return SendEach(k.Write, batch, done)
}

// SendEach is SendRing for a kernel of which each send is a write, with its script. They end in
// reverse.
func SendEach(write func(fd int, p []byte) (int, error), batch []sys.Send, done []sys.Completion) (begun, completed int, err error) {
	for i, s := range batch {
		n, err := write(s.FD, s.Bytes)
		done[len(batch)-1-i] = completion(i, n, err)
	}
	return len(batch), len(batch), nil
}

// completion says of the send at i what its write returned.
func completion(i, n int, err error) sys.Completion {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		n = -int(errno)
	}
	return sys.Completion{Index: uint64(i), Result: int32(n)}
}

// CloseRing implements reactor.Kernel.
func (k *Kernel) CloseRing(*sys.Ring) {}

// Close implements reactor.Kernel.
func (k *Kernel) Close(fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock() // Until the number is free, so that a refusal cannot register its next owner.
	k.counts[Close]++
	delete(k.waking, fd)
	delete(k.sleeps, fd)
	k.forget(fd)
	return k.real.Close(fd)
}

// transfer reads or writes as much as the script allows.
func (k *Kernel) transfer(c Call, fd int, p []byte, call func(int, []byte) (int, error)) (int, error) {
	if k.isWaking(c, fd) {
		return call(fd, p)
	}
	if err := k.enter(c, fd); err != nil {
		return 0, err
	}
	allowed := k.allowance(c, fd, len(p))
	if allowed == 0 && len(p) > 0 {
		k.nudge(fd)
		return 0, syscall.EAGAIN
	}
	n, err := call(fd, p[:allowed])
	if err != nil {
		return n, err
	}
	k.mu.Lock()
	k.passed[site{c, fd}] += int64(n)
	k.mu.Unlock()
	if n == allowed && n < len(p) {
		k.nudge(fd)
	}
	return n, nil
}

func (k *Kernel) isWaking(c Call, fd int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c == Write && k.waking[fd] {
		k.counts[Wake]++
	}
	return k.waking[fd]
}

// allowance is how many bytes of want may pass.
func (k *Kernel) allowance(c Call, fd, want int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	limit := k.limits[c]
	if limit == nil {
		return want
	}
	return min(want, max(0, limit(fd, k.passed[site{c, fd}], want)))
}

// enter counts a call and returns the fault scripted for it.
func (k *Kernel) enter(c Call, fd int) error {
	k.mu.Lock()
	err := k.fault(c, fd)
	k.mu.Unlock()
	if errors.Is(err, syscall.EAGAIN) {
		k.nudge(fd)
	}
	return err
}

// fault is enter under the lock.
func (k *Kernel) fault(c Call, fd int) error {
	k.counts[c]++
	for _, at := range []site{{c, fd}, {c, AnyFD}} {
		if errs := k.faults[at]; len(errs) > 0 {
			k.faults[at] = errs[1:]
			return errs[0]
		}
	}
	return nil
}

// forget drops what is known of a descriptor's number, except the faults scripted for it: the next
// owner starts anew.
func (k *Kernel) forget(fd int) {
	delete(k.watched, fd)
	delete(k.passed, site{Read, fd})
	delete(k.passed, site{Write, fd})
}
