package hub

import (
	"fmt"
	"testing"
	"time"
)

func TestBatchesAreBoundedAndTheClockIsReadBetweenThem(t *testing.T) {
	const members = 100
	for _, size := range []int{1, 100, 4095, 4096, 4097, 5000, 20_000, 64 << 10, 64<<10 + 1, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := wide
			l.Turn = 128 << 10
			d := newDesk(t, l)
			var all []*client
			for range members {
				all = append(all, d.join(0, "r"))
			}
			looks, looksBefore, batches, alone := 0, 0, 0, 0
			d.onSend = func(k *Batch) {
				sum, seen := 0, map[Client]bool{}
				for i := range k.Deliveries {
					sum += len(k.Deliveries[i].Bytes)
					seen[k.Deliveries[i].Client] = true
				}
				if len(k.Deliveries) == 0 || len(k.Deliveries) > batchMembers || sum > batchBytes && len(k.Deliveries) > 1 || len(seen) != len(k.Deliveries) {
					t.Fatalf("a batch of %d members, %d of them apart, and %d bytes", len(k.Deliveries), len(seen), sum)
				}
				if batches++; batches > 1 && looks == looksBefore {
					t.Fatal("nobody looked at the clock since the batch before")
				}
				looksBefore = looks
				if len(k.Deliveries) == 1 {
					alone++
				}
			}
			all[0].say(nil, make([]byte, size))
			for range 100 { // Their sweep takes several slices of a frozen clock's time at most.
				d.fans[0].Flush(func() time.Duration { looks++; return d.now })
				for len(d.due) > 0 {
					d.conclude(d.due[0], len(d.due[0].bytes), Taken)
				}
			}
			each := min(batchMembers, max(1, batchBytes/size))
			if want := (members + each - 1) / each; batches != want {
				t.Errorf("%d batches, want %d of %d members", batches, want, each)
			}
			for _, c := range all {
				if len(c.got) != size {
					t.Fatalf("a member got %d of %d bytes", len(c.got), size)
				}
			}
			if n := len(d.fans[0].spareBatches); n != batches {
				t.Errorf("%d batches wait to be used again, of %d", n, batches)
			}
			for _, k := range d.fans[0].spareBatches {
				all := k.Deliveries[:cap(k.Deliveries)]
				for i := range all {
					if one := &all[i]; one.member != nil || one.Client != nil || one.Bytes != nil {
						t.Fatal("a batch that was answered for keeps what it delivered alive")
					}
				}
			}
		})
	}
}

// Turns that go on meet those that begin in one batch, which is no larger for that.
func TestBatchesAreBoundedWhereTurnsGoOn(t *testing.T) {
	for _, size := range []int{1, 100, 10_000} {
		d := newDesk(t, wide)
		var all []*client
		for range 100 {
			all = append(all, d.join(0, "r"))
		}
		for range 3 { // Stretches of 1, 2 and 4 KiB, and then one of the size.
			all[0].say(nil, make([]byte, 1000))
			all[0].say(nil, make([]byte, 1000))
		}
		all[0].say(nil, make([]byte, size))
		d.fans[0].transport = answeringAtOnce{d, 0}
		most := 0
		d.onSend = func(k *Batch) {
			sum := 0
			for i := range k.Deliveries {
				sum += len(k.Deliveries[i].Bytes)
			}
			if len(k.Deliveries) > batchMembers || sum > batchBytes && len(k.Deliveries) > 1 {
				t.Fatalf("a batch of %d members and %d bytes", len(k.Deliveries), sum)
			}
			most = max(most, len(k.Deliveries))
		}
		d.step()
		for _, c := range all {
			if len(c.got) != 6000+size {
				t.Fatalf("a member has %d bytes", len(c.got))
			}
		}
		if most != batchMembers {
			t.Errorf("the largest batch was of %d", most)
		}
	}
}

// Turns that go on, because a stretch of the log ended in their middle, do not outlast the slice:
// between any two batches the time may be up. What was handed by then is sent first by the next
// Flush.
func TestSliceEndsInTheMiddleOfTurns(t *testing.T) {
	const size, each = 60_000, 300 * time.Microsecond // what a batch takes
	l := wide
	l.Turn = 64 << 10
	for name, areReady := range map[string]bool{"a round's": false, "ready members'": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, l)
			a := d.join(1, "r")
			var all []*client
			for range batchMembers {
				all = append(all, d.join(0, "r"))
			}
			a.say(nil, make([]byte, 100)) // a stretch of its own
			if areReady {
				d.step()
				for _, c := range all {
					d.answer(c, 1, Taken)
				}
			}
			a.say(nil, make([]byte, size))
			if areReady {
				d.step()
				for _, c := range all {
					c.Ready()
				}
			}
			d.fans[0].transport = answeringAtOnce{d, each}
			for n := 0; ; n++ {
				start := d.now
				again := d.fans[0].Flush(func() time.Duration { return d.now })
				if took := d.now - start; took > slice+each {
					t.Fatalf("a slice lasted %v", took)
				}
				if again != 0 {
					if n < 4 {
						t.Errorf("it took %d slices to send 17 batches of %v", n+1, each)
					}
					break
				}
			}
			for _, c := range all {
				if len(c.got) != 100+size || c.IsBlocked() {
					t.Errorf("a member has %d bytes and is %v", len(c.got), c.state)
				}
			}
		})
	}
}
