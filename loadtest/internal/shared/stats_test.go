package shared

import (
	"math"
	"testing"
	"time"
	"unsafe"
)

// Two processes lay the same memory out, each for itself: they must mean the same by every byte,
// and no two arrays may meet.
func TestProcessesSeeTheSameStatsInTheSameMemory(t *testing.T) {
	l := Layout{Rooms: 3, Streams: 5, SlotsPerStream: 8, Processes: 3}
	memory := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint64, l.size()/8)))), l.size())
	a, b := layOut(&carver{mem: memory}, l), layOut(&carver{mem: memory}, l)
	a.Totals.Progress.Store(1)
	for i := range a.Live {
		a.Live[i].Store(int64(10 + i))
	}
	for i := range a.Sent {
		a.Sent[i].Store(uint32(20 + i))
		for j := range a.Slots(i) {
			a.Slots(i)[j].Begin(uint32(100*i+j), 7, 0)
		}
	}
	a.wakePending[2].Store(true)
	if n := b.Totals.Progress.Load(); n != 1 {
		t.Errorf("progress is %d, want 1", n)
	}
	for i := range b.Live {
		if n := b.Live[i].Load(); n != int64(10+i) {
			t.Errorf("room %d has %d clients, want %d", i, n, 10+i)
		}
	}
	for i := range b.Sent {
		if n := b.Sent[i].Load(); n != uint32(20+i) {
			t.Errorf("stream %d has sent %d, want %d", i, n, 20+i)
		}
		for j := range b.Slots(i) {
			if seq := b.Slots(i)[j].seq.Load(); seq != uint32(100*i+j) {
				t.Errorf("slot %d of stream %d is of message %d, want %d", j, i, seq, 100*i+j)
			}
		}
	}
	if b.wakePending[0].Load() || b.wakePending[1].Load() || !b.wakePending[2].Load() {
		t.Error("another process is waited for than was woken")
	}
}

func TestSlotIsDoneWhenEveryReceiverWasReported(t *testing.T) {
	var s Slot
	s.Begin(9, 3, 100)
	if _, hasArrived := s.Skew(); hasArrived || s.LastArrival() != 0 || s.SentAt() != 100 || !s.IsWaitedFor() {
		t.Errorf("a new slot: arrived %v, last arrival %v, waited for %v", hasArrived, s.LastArrival(), s.IsWaitedFor())
	}
	for _, step := range []struct {
		tally  Tally
		isDone bool
		skew   time.Duration
	}{
		{Tally{Seq: 9, Count: 1, First: 300, Last: 350}, false, 50},
		// Of a message that had the slot before.
		{Tally{Seq: 1, Count: 2, First: 1, Last: 999}, false, 50},
		{Tally{Seq: 9, Count: 1, First: 200, Last: 240}, false, 150},
		{Tally{Seq: 9, Count: 1, First: math.MaxInt64}, true, 150}, // Given up.
	} {
		isDone := s.Report(&step.tally)
		skew, _ := s.Skew()
		if isDone != step.isDone || skew != step.skew || s.IsWaitedFor() == isDone {
			t.Errorf("after %+v: done %v, skew %v, waited for %v; want %v, %v", step.tally, isDone, skew, s.IsWaitedFor(), step.isDone, step.skew)
		}
	}
	if s.LastArrival() != 350 {
		t.Errorf("last arrival %v, want 350 ns", s.LastArrival())
	}
}
