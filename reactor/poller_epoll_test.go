//go:build linux

package reactor

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor/internal/sys"
)

// refusingKernel is the real one, except for what a test scripts.
type refusingKernel struct {
	sys.Real
	refuse map[string]error // by the name of the call
	waited []int            // timeouts of EpollWait
	brief  int              // calls of EpollWaitBriefly
	events int              // what the next wait of either kind brings
	closed []int
}

func (k *refusingKernel) EpollCreate() (int, error) {
	if err := k.refuse["epoll_create1"]; err != nil {
		return -1, err
	}
	return k.Real.EpollCreate()
}

func (k *refusingKernel) Eventfd() (int, error) {
	if err := k.refuse["eventfd"]; err != nil {
		return -1, err
	}
	return k.Real.Eventfd()
}

func (k *refusingKernel) EpollCtl(epfd, op, fd int, ev *unix.EpollEvent) error {
	if err := k.refuse["epoll_ctl"]; err != nil {
		return err
	}
	return k.Real.EpollCtl(epfd, op, fd, ev)
}

func (k *refusingKernel) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	k.waited = append(k.waited, msec)
	return k.bring(), k.refuse["epoll_wait"]
}

func (k *refusingKernel) EpollWaitBriefly(epfd int, events []unix.EpollEvent) (int, error) {
	k.brief++
	return k.bring(), k.refuse["epoll_wait"]
}

func (k *refusingKernel) bring() (n int) {
	n, k.events = k.events, 0
	return n
}

func (k *refusingKernel) Signal(eventfd int) error {
	if err := k.refuse["write"]; err != nil {
		return err
	}
	return k.Real.Signal(eventfd)
}

func (k *refusingKernel) Close(fd int) error {
	k.closed = append(k.closed, fd)
	return k.Real.Close(fd)
}

func newRefusing(t *testing.T) (*Poller, *refusingKernel) {
	t.Helper()
	k := &refusingKernel{refuse: map[string]error{}}
	p, err := newPoller(k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, k
}

func TestEpollSignalEndsWaitQuietly(t *testing.T) {
	p, k := newRefusing(t)
	dst := make([]Event, 1, 4)
	k.refuse["epoll_wait"] = syscall.EINTR
	if got, err := p.Wait(dst, -1); err != nil || len(got) != 1 {
		t.Errorf("%v, %v after a signal", got, err)
	}
	k.refuse["epoll_wait"] = syscall.EBADF
	if _, err := p.Wait(dst, -1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("%v, want EBADF", err)
	}
}

// A signal that really comes, to the very thread that waits. SIGURG is one that the Go runtime
// always handles.
func TestEpollSignalToTheWaitingThreadEndsWait(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	thread := make(chan int)
	returned := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		tid := <-thread
		for { // The first may come before the wait has begun.
			time.Sleep(time.Millisecond)
			select {
			case <-returned:
				return
			default:
			}
			if err := unix.Tgkill(unix.Getpid(), tid, unix.SIGURG); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread <- unix.Gettid()
	before := time.Now()
	events, err := p.Wait(make([]Event, 0, 1), lost)
	took := time.Since(before)
	close(returned)
	<-sent
	if err != nil || len(events) != 0 || took >= lost {
		t.Errorf("%v, %v after %v", events, err, took)
	}
}

func TestEpollWaitRoundsItsTimeoutUp(t *testing.T) {
	p, k := newRefusing(t)
	timeouts := []time.Duration{-1, 0, 1, time.Millisecond, time.Millisecond + 1, math.MaxInt64}
	for _, timeout := range timeouts {
		if _, err := p.Wait(make([]Event, 0, 1), timeout); err != nil {
			t.Error(err)
		}
	}
	if want := []int{-1, 0, 1, 1, 2, math.MaxInt32}; !slices.Equal(k.waited, want) {
		t.Errorf("asked for %v ms, want %v", k.waited, want)
	}
	if got, err := p.Wait(make([]Event, 2), -1); err != nil || len(got) != 2 || len(k.waited) != len(timeouts) {
		t.Errorf("%v, %v without room", got, err)
	}
}

// A wait that is expected to be short begins with one of which the scheduler is not told. What may
// not block, and what is as short itself, is as ever.
func TestEpollWaitsBrieflyForWhatIsExpected(t *testing.T) {
	p, k := newRefusing(t)
	for i, step := range []struct {
		soon    bool
		brings  int
		timeout time.Duration
		brief   int
		waited  []int
	}{
		{false, 0, -1, 0, []int{-1}},
		{true, 1, -1, 1, nil},
		{true, 1, time.Second, 1, nil},
		{true, 1, 0, 0, []int{0}},
		{true, 1, time.Millisecond, 0, []int{1}},
		{true, 0, time.Second, 1, []int{1000}},
		{true, 0, -1, 1, []int{-1}},
		{false, 1, -1, 0, []int{-1}},
	} {
		k.brief, k.waited, k.events = 0, nil, step.brings
		p.expect(step.soon)
		if _, err := p.Wait(make([]Event, 0, 1), step.timeout); err != nil {
			t.Fatal(err)
		}
		if k.brief != step.brief || !slices.Equal(k.waited, step.waited) {
			t.Errorf("step %d: %d brief waits and then %v ms, want %d and %v", i, k.brief, k.waited, step.brief, step.waited)
		}
	}
}

func TestEpollWakeOfAFullCounterIsNoError(t *testing.T) {
	p, k := newRefusing(t)
	for answer, want := range map[error]error{syscall.EAGAIN: nil, syscall.EBADF: syscall.EBADF} {
		k.refuse["write"] = answer
		if err := p.Wake(); !errors.Is(err, want) {
			t.Errorf("%v after %v, want %v", err, answer, want)
		}
	}
}

func TestEpollThatCannotOpenClosesWhatItOpened(t *testing.T) {
	for what, opened := range map[string]int{"epoll_create1": 0, "eventfd": 1, "epoll_ctl": 2} {
		before := closedDescriptor(t)
		k := &refusingKernel{refuse: map[string]error{what: syscall.EMFILE}}
		if _, err := newPoller(k); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%s: %v, want EMFILE", what, err)
		}
		if len(k.closed) != opened || closedDescriptor(t) != before {
			t.Errorf("%s: closed %v of %d opened", what, k.closed, opened)
		}
	}
}

func TestEpollRegisterThatTheKernelRefuses(t *testing.T) {
	p, k := newRefusing(t)
	a, _ := socketPair(t)
	k.refuse["epoll_ctl"] = syscall.ENOSPC // fs.epoll.max_user_watches
	if err := p.Register(a, testToken, Readable, Edge); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
}

func TestPollerDoesNotAllocate(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a, _ := socketPair(t)
	register(t, p, a, testToken, Readable|Writable, Level)
	dst := make([]Event, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		p.Wake()
		p.Wait(dst, time.Second)
	}); n != 0 {
		t.Errorf("%v allocations to wake and wait", n)
	}
}

// A loop that keeps its processor expects a short wait behind a short one, and no other.
func TestKeenLoopWaitsBrieflyBehindAShortWait(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		k := &slowKernel{refusingKernel: refusingKernel{refuse: map[string]error{}}}
		l, err := NewLoop(Options{Kernel: k, KeepsProcessor: keeps})
		if err != nil {
			t.Fatal(err)
		}
		var brief []int
		for _, k.lasts = range []time.Duration{time.Second, soon - 1, soon, soon / 2, soon / 2, 0} {
			k.brief, k.events = 0, 1
			if err := l.Tick(); err != nil {
				t.Fatal(err)
			}
			brief = append(brief, k.brief)
		}
		want := []int{0, 0, 1, 0, 1, 1}
		if !keeps {
			want = make([]int, len(want))
		}
		if !slices.Equal(brief, want) {
			t.Errorf("keeps its processor: %v; brief waits %v, want %v", keeps, brief, want)
		}
		if err := l.poller.Close(); err != nil {
			t.Error(err)
		}
	}
}

// slowKernel's waits last as long as is said.
type slowKernel struct {
	refusingKernel
	now, lasts time.Duration
}

func (k *slowKernel) Now() time.Duration { return k.now }

func (k *slowKernel) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	k.now += k.lasts
	return k.refusingKernel.EpollWait(epfd, events, msec)
}

func (k *slowKernel) EpollWaitBriefly(epfd int, events []unix.EpollEvent) (int, error) {
	k.now += k.lasts
	return k.refusingKernel.EpollWaitBriefly(epfd, events)
}
