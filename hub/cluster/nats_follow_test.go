package cluster

import (
	"testing"
)

func TestWaitingMessagesHaveABound(t *testing.T) {
	var w waiting
	for i := range waitingMax {
		if !w.add(Live{Stored: Stored{Seq: uint64(i)}}) {
			t.Fatalf("refused at %d", i)
		}
	}
	if w.add(Live{}) {
		t.Error("one more than the bound is taken")
	}
	to := make(chan Live, 1)
	for i := range waitingMax {
		first, ch := w.first(to)
		if ch == nil || first.Seq != uint64(i) {
			t.Fatalf("the %dth is %d", i, first.Seq)
		}
		w.drop()
		if i%3 == 0 && !w.add(Live{Stored: Stored{Seq: uint64(waitingMax + i/3)}}) {
			t.Fatalf("refused behind %d taken", i)
		}
	}
	if len(w.all) > waitingMax || w.size != 0 {
		t.Errorf("%d in memory, %d bytes", len(w.all), w.size)
	}
}

func TestWaitingBytesHaveABound(t *testing.T) {
	var w waiting
	pack := make([]byte, waitingSize/4)
	for range 4 {
		if !w.add(Live{Stored: Stored{Pack: pack}}) {
			t.Fatal("refused below the bound")
		}
	}
	if w.add(Live{Stored: Stored{Pack: pack[:1]}}) {
		t.Error("a byte more than the bound is taken")
	}
	w.drop()
	if !w.add(Live{Stored: Stored{Pack: pack}}) {
		t.Error("refused with as much taken")
	}
	for range 4 {
		w.drop()
	}
	if _, ch := w.first(make(chan Live)); ch != nil || w.size != 0 {
		t.Errorf("%d bytes of nothing", w.size)
	}
}
