package hub

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// A message is published on another thread at the moment in which the only member of a loop catches
// up: either the publisher finds it writable and marks its branch, or the branch looks again. That
// is a matter of nanoseconds, so it is tried often.
func TestMessageThatMeetsTheLastBlockedMembersRecoveryIsDelivered(t *testing.T) {
	trials := int64(30_000)
	if testenv.IsWholeSize(t) {
		trials = 100_000
	}
	f := newFixture(t, wide)
	c := f.join(0, "r")
	room, msg := c.Room(), &Message{Plain: Frame{Payload: []byte("x")}}
	settle := func() {
		for f.fans[0].Flush(func() time.Duration { return f.now }) == 0 {
		}
	}
	var begun, published atomic.Int64
	defer begun.Store(trials) // Or a failure would leave the other spinning.
	go func() {
		for i := range trials {
			for begun.Load() <= i {
				runtime.Gosched()
			}
			for range i % 64 { // A little later each time.
				begun.Load()
			}
			room.Publish(nil, 0, msg)
			published.Store(i + 1)
		}
	}()
	for i := range trials {
		c.got, c.room = c.got[:0], 0
		c.Block(f.now)
		room.Publish(nil, 0, msg)
		settle()
		c.room = -1
		c.Ready()
		begun.Store(i + 1)
		settle()
		for published.Load() <= i {
			runtime.Gosched()
		}
		if settle(); c.Position() != c.branch.track.end.Load() || c.IsBlocked() { // What was marked, and nothing else.
			t.Fatalf("trial %d: at %d of %d, blocked %v, and nobody calls its branch", i, c.Position(), c.branch.track.end.Load(), c.IsBlocked())
		}
	}
}
