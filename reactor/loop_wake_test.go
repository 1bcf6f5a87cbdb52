//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/reactor/reactortest"
)

var posts = flag.Int("posts", 200_000, "how many tasks the stress posts; millions find more")

// run starts l and returns a function that stops it and waits for its end.
func run(t *testing.T, l *Loop) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	return func() {
		t.Helper()
		l.Stop()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(lost):
			t.Fatal("Stop did not end Run")
		}
	}
}

// insist posts until the mailbox has room.
func insist(l *Loop, task func(*Loop)) {
	for !l.Post(task) {
		runtime.Gosched()
	}
}

// Posters that never wait: the mailbox is often full, and none that it took is lost.
func TestE03_NoPostIsLostInAFlood(t *testing.T) {
	const posters = 4
	l, err := NewLoop(Options{MailboxMax: 256})
	must(t, err)
	stop := run(t, l)
	ran := make([]int, posters) // Only the loop writes it.
	var all sync.WaitGroup
	for p := range posters {
		all.Go(func() {
			for i := range *posts / posters {
				insist(l, func(*Loop) {
					if ran[p] != i {
						t.Errorf("poster %d: task %d ran as number %d", p, i, ran[p])
					}
					ran[p]++
				})
			}
		})
	}
	all.Wait()
	stop() // What was taken runs, even when Stop comes first.
	for p, n := range ran {
		if n != *posts/posters {
			t.Errorf("poster %d: %d of %d tasks ran", p, n, *posts/posters)
		}
	}
}

// Each poster waits for its task, so the loop falls asleep again and again, just as the next task
// comes.
func TestE03_NoPostIsLostWhileTheLoopFallsAsleep(t *testing.T) {
	const posters = 2
	l, err := NewLoop(Options{})
	must(t, err)
	defer run(t, l)()
	var all sync.WaitGroup
	for range posters {
		all.Go(func() {
			ran := make(chan struct{}, 1)
			watchdog := time.NewTimer(lost)
			defer watchdog.Stop()
			for range *posts / 10 / posters {
				insist(l, func(*Loop) { ran <- struct{}{} })
				watchdog.Reset(lost)
				select {
				case <-ran:
				case <-watchdog.C:
					t.Error("a task was posted and the loop sleeps")
					return
				}
			}
		})
	}
	all.Wait()
}

func TestMailboxRefusesBeyondItsBound(t *testing.T) {
	l, _ := newLoop(t, Options{MailboxMax: 3})
	ran := 0
	for i := range 5 {
		if ok := l.Post(func(*Loop) { ran++ }); ok != (i < 3) {
			t.Errorf("post %d: %v", i, ok)
		}
	}
	must(t, l.Tick())
	if ran != 3 {
		t.Errorf("%d tasks ran, want the 3 that were taken", ran)
	}
	if !l.Post(func(*Loop) {}) {
		t.Error("refused, although the mailbox is empty again")
	}
}

func TestTaskPostedByATaskRunsNextTick(t *testing.T) {
	l, _ := newLoop(t, Options{})
	step(t, l)
	var ran []uint64
	note := func(l *Loop) { ran = append(ran, l.Stats().Ticks) }
	l.Post(func(l *Loop) {
		note(l)
		l.Post(note)
	})
	must(t, l.Tick())
	must(t, l.Tick()) // Does not wait.
	if len(ran) != 2 || ran[1] != ran[0]+1 {
		t.Errorf("ran in ticks %v", ran)
	}
}

func TestMailboxLetsGoOfTasksThatRan(t *testing.T) {
	l, _ := newLoop(t, Options{})
	collected := make(chan struct{})
	func() {
		big := new([1 << 16]byte)
		runtime.SetFinalizer(big, func(*[1 << 16]byte) { close(collected) })
		l.Post(func(*Loop) { big[0]++ })
	}()
	must(t, l.Tick())
	for deadline := time.Now().Add(lost); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		runtime.GC()
		select {
		case <-collected:
			runtime.KeepAlive(l)
			return
		default:
		}
	}
	t.Error("what a task held is kept after it ran")
}

func TestWakeEndsTheSleepOfALoop(t *testing.T) {
	k := reactortest.New()
	l, err := NewLoop(Options{Kernel: k})
	must(t, err)
	ticked := make(chan struct{}, 1000)
	l.BeforeSleep(func() time.Duration {
		ticked <- struct{}{}
		return -1
	})
	defer run(t, l)()
	<-ticked // The first does not wait.
	for i := range 100 {
		l.Wake()
		select {
		case <-ticked:
		case <-time.After(lost):
			t.Fatalf("wake %d did not end the sleep", i)
		}
	}
}

func TestWakeOfALoopThatIsAwakeIsNoSystemCall(t *testing.T) {
	l, k := newLoop(t, Options{})
	must(t, l.Tick())
	var all sync.WaitGroup
	l.Post(func(*Loop) { // Here the loop is awake.
		for range 4 {
			all.Go(func() {
				for range 1000 {
					l.Wake()
					l.Post(func(*Loop) {})
				}
			})
		}
		all.Wait()
	})
	must(t, l.Tick())
	must(t, l.Tick()) // Runs the tasks and does not wait.
	if n := k.Count(reactortest.Wake); n != 0 {
		t.Errorf("%d writes to wake a loop that was awake", n)
	}
}

func TestWakesOfASleepingLoopCoalesce(t *testing.T) {
	l, k := newLoop(t, Options{})
	must(t, l.Tick())
	k.OnWait(func(time.Duration) { // Here the loop has said that it sleeps.
		for range 1000 {
			l.Wake()
		}
	})
	for range 3 {
		must(t, l.Tick())
	}
	if n := k.Count(reactortest.Wake); n != 3 {
		t.Errorf("%d writes for 3,000 wakes of 3 sleeps, want one for each sleep", n)
	}
}

func TestStopBeforeRunEndsItAtOnce(t *testing.T) {
	l, err := NewLoop(Options{})
	must(t, err)
	l.Stop()
	must(t, l.Run())
}

func TestReleaseClosesEveryDescriptorOnce(t *testing.T) {
	before := openDescriptors()
	l, k := newLoop(t, Options{})
	var fds []int
	for range 100 {
		fd, peer := socketPair(t)
		attach(t, l, fd, Readable, Edge, new(seen))
		fds = append(fds, fd)
		closeNow(t, peer)
	}
	late, peer := socketPair(t)
	l.Post(func(l *Loop) { fds = append(fds, late); attach(t, l, late, Readable, Edge, new(seen)) })
	l.Release()
	closes := k.Count(reactortest.Close)
	for _, fd := range fds {
		if isOpen(fd) {
			t.Errorf("descriptor %d of a source is open", fd)
		}
	}
	closeNow(t, peer)
	if after := openDescriptors(); after != before || len(fds) != 101 || l.Len() != 0 {
		t.Errorf("%d descriptors open, %d before; %d sources left of %d", after, before, l.Len(), len(fds))
	}
	l.Release()
	if n := k.Count(reactortest.Close); n != closes {
		t.Errorf("releasing again closed %d descriptors", n-closes)
	}
}

func TestTaskThatWasAcceptedRunsAlthoughTheLoopEnds(t *testing.T) {
	l, _ := newLoop(t, Options{})
	var ran atomic.Bool
	l.Post(func(l *Loop) {
		l.Stop()
		if !l.Post(func(*Loop) { ran.Store(true) }) {
			t.Error("refused before the loop has ended")
		}
	})
	must(t, l.Run())
	if !ran.Load() {
		t.Error("a task that was accepted did not run")
	}
}

// What AtEnd was given sees every source that is left, one of the last task included, before its
// descriptor is closed.
func TestAtEndIsTheLastToSeeTheSources(t *testing.T) {
	l, _ := newLoop(t, Options{})
	fd, _ := socketPair(t)
	calls, left := 0, 0
	l.AtEnd(func() {
		calls++
		for range l.Sources {
			left++
		}
		if !isOpen(fd) {
			t.Error("the descriptor is closed already")
		}
	})
	l.Post(func(l *Loop) { attach(t, l, fd, Readable, Edge, new(seen)) })
	l.Stop()
	must(t, l.Run())
	l.Release()
	if calls != 1 || left != 1 || isOpen(fd) {
		t.Errorf("called %d times with %d sources, and the descriptor is open: %v", calls, left, isOpen(fd))
	}
}

func TestCallsAfterReleaseAreHarmless(t *testing.T) {
	l, k := newLoop(t, Options{})
	l.Release()
	if l.Post(func(*Loop) { t.Error("a refused task ran") }) {
		t.Error("a released loop takes tasks")
	}
	l.sleeping.Store(true) // As a waker sees it that was about to write when the loop ended.
	l.Wake()
	l.Stop()
	if n := k.Count(reactortest.Wake) + k.Count(reactortest.Write); n != 0 {
		t.Errorf("%d writes to the descriptor of a released poller", n)
	}
}

// Wakers that race with the end of a loop write to its descriptor while it is open, or not at all.
func TestWakersMayOutliveTheLoop(t *testing.T) {
	for range 50 {
		l, err := NewLoop(Options{})
		must(t, err)
		stop := run(t, l)
		var all sync.WaitGroup
		var end atomic.Bool
		for range 2 {
			all.Go(func() {
				for !end.Load() {
					l.Wake()
					l.Post(func(*Loop) {})
				}
			})
		}
		stop()
		end.Store(true)
		all.Wait()
	}
}
