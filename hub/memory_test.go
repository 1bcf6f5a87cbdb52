package hub

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // What the first one's finalizers and pools let go of.
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// quietSink is a client that takes everything and keeps nothing.
type quietSink struct{ Member }

func (s *quietSink) Flush(upto int64) (wrote int) {
	for s.Position() < upto {
		n := len(s.Pending())
		s.Sent(n, 0)
		wrote += n
	}
	return wrote
}
func (s *quietSink) Overtaken(Rest) {}
func (s *quietSink) Lagging(bool)   {}
func (s *quietSink) Resume()        {}
func (s *quietSink) Abort()         {}

func TestManyQuietRoomsCostLittle(t *testing.T) {
	const rooms, each = 100_000, 1 << 10
	f := newFixture(t, limits(16<<20, 1<<20))
	names := make([]string, rooms)
	for i := range names {
		names[i] = fmt.Sprintf("room-%d", i)
	}
	members := make([]*quietSink, rooms)
	before := liveHeap()
	for i := range members {
		members[i] = new(quietSink)
		f.fans[i%2].Join(names[i], Plain, &members[i].Member, members[i])
	}
	check := func(when string) {
		t.Helper()
		per := (liveHeap() - before) / rooms
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
