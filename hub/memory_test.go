package hub

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"sluice/internal/testenv"
)

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // What the first one's finalizers and pools let go of.
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// quietClient is a client that takes everything and keeps nothing.
type quietClient struct{ Member }

func (*quietClient) take(p []byte) (n int)     { return len(p) }
func (*quietClient) SendOwn(int) (int, bool)   { return 0, true }
func (*quietClient) Refused()                  {}
func (*quietClient) Queued() (int64, Queued)   { return 0, QueuedBytes }
func (*quietClient) CaughtUp()                 {}
func (*quietClient) Finished()                 {}
func (*quietClient) Failed()                   {}
func (*quietClient) Overrun(Rest)              {}
func (*quietClient) Lagging(bool)              {}
func (*quietClient) Rejoined(uint64, Position) {}
func (*quietClient) Resume()                   {}
func (*quietClient) Reset(Position)            {}
func (*quietClient) Spoiled(bool)              {}
func (*quietClient) Abort()                    {}

func TestManyQuietRoomsCostLittle(t *testing.T) {
	rooms, each := 20_000, int64(1<<10)
	if testenv.IsWholeSize(t) {
		rooms = 100_000
	}
	f := newFixture(t, limits(16<<20, 1<<20))
	names := make([]string, rooms)
	for i := range names {
		names[i] = fmt.Sprintf("room-%d", i)
	}
	members := make([]*quietClient, rooms)
	before := liveHeap()
	for i := range members {
		members[i] = new(quietClient)
		f.fans[i%2].joinEnd(names[i], Plain, &members[i].Member, members[i])
	}
	check := func(when string) {
		t.Helper()
		per := (liveHeap() - before) / int64(rooms)
		t.Logf("%s: %d bytes a room, its member included", when, per)
		if per > each {
			t.Errorf("%s: %d bytes a room, want at most %d", when, per, each)
		}
	}
	check("idle")
	payload := make([]byte, 100)
	for _, m := range members {
		m.Publish(f.now, &Message{Plain: Frame{Payload: payload}})
	}
	f.flush()
	for range 3 {
		f.now += time.Second
		f.flush()
	}
	check("after one message each and some quiet seconds")
	if n := f.hub.Rooms(); n != rooms {
		t.Errorf("%d rooms", n)
	}
	runtime.KeepAlive(members)
}
