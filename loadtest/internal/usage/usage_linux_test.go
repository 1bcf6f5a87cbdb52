package usage

import (
	"runtime"
	"testing"
	"time"
)

// More threads that compute than processors: some of them wait, whatever else the machine does.
func TestN87_WaitingForAProcessorIsMeasured(t *testing.T) {
	if OwnWaiting() == 0 {
		t.Fatal("the kernel does not say how long threads waited for a processor")
	}
	n := 3 * runtime.NumCPU()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	before, end := OwnWaiting(), time.Now().Add(300*time.Millisecond)
	spun, looked := make(chan struct{}, n), make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread() // A thread's time goes with it, so none ends before it was looked at.
			for time.Now().Before(end) {
			}
			spun <- struct{}{}
			<-looked
			runtime.UnlockOSThread()
		}()
	}
	for range n {
		<-spun
	}
	waited := OwnWaiting() - before
	close(looked)
	// Two in three have no processor at a time.
	if want := time.Duration(n) * 100 * time.Millisecond; waited < want {
		t.Errorf("%d threads waited for %v, want %v at least", n, waited, want)
	}
}
