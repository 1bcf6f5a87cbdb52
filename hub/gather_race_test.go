package hub

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"sluice/internal/testenv"
)

// A room begins anew and goes on with a message while a bundle's turn looks at its reader: that is
// told first. Both have to come between two looks that are nanoseconds apart, so the one thread
// that there is is taken from the turn, wherever it is, until both are done.
func TestResetInTheMiddleOfABundlesTurnIsToldFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	trials := int64(20)
	if testenv.IsWholeSize(t) {
		trials = 100
	}
	f := newFollower(t, History{Messages: 100})
	if err := f.hub.Make("r"); err != nil {
		t.Fatal(err)
	}
	f.fill("r", "epoch000", 0)
	c := &subscriber{client: &client{now: &f.now, room: -1}, readers: map[string]*Reader{}}
	f.fans[0].JoinBundle(&c.bundle, &c.client.Member, 2, c, (*subscriberReaders)(c))
	k, r := &c.bundle, f.subscribeTo(c, "r", Start{IsHeld: true})
	r.Ready()
	var begun atomic.Int64
	defer begun.Store(trials) // Or a failure would leave the other spinning.
	go func() {
		for i := range trials {
			for begun.Load() <= i {
				runtime.Gosched()
			}
			f.fill("r", fmt.Sprintf("epoch%03d", i+1), 0)
			_ = f.appendAll("r", at(1, "x")) // An error is a message that does not come.
		}
	}()
	for i := range trials {
		begun.Store(i + 1)
		total := 0
		for total == 0 {
			total, _ = k.share(1 << 10)
		}
		if int64(len(c.told)) != i+1 {
			t.Fatalf("trial %d: it was told of %d resets before the message behind the last one", i, len(c.told))
		}
		k.land(total, Taken, f.now)
		r.m.handed = waits
		k.push(r) // As a round does that meets it.
	}
}
