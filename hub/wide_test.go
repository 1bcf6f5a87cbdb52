package hub

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Where writes can go many at a time a round that carries one message makes batches of up to 256,
// or 64 while another room waits, in the same number of bytes. Every other batch is as small as
// ever.
func TestWideBatchesAreOfRoundsThatCarryOneMessage(t *testing.T) {
	const members = 300
	for _, tc := range []struct {
		name           string
		widens         bool
		messages, size int
		others         int // rooms that wait on the same loop
		want           []int
		wide           int // batches that are said to be so
	}{
		{"alone", true, 1, 60, 0, []int{256, 44}, 2},
		{"another room waits", true, 1, 60, 1, []int{64, 64, 64, 64, 44}, 5},
		{"bounded in bytes", true, 1, 1024, 0, []int{64, 64, 64, 64, 44}, 5},
		{"one is larger", true, 1, 100_000, 0, slices.Repeat([]int{1}, members), members},
		{"two messages", true, 2, 60, 0, append(slices.Repeat([]int{16}, 18), 12), 0},
		{"not asked for", false, 1, 60, 0, append(slices.Repeat([]int{16}, 18), 12), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := wide
			l.Turn = 128 << 10
			d := newDesk(t, l)
			d.fans[0].WidenBatches(tc.widens)
			var all []*client
			for range members {
				all = append(all, d.join(0, "r"))
			}
			var others []*client
			for i := range tc.others {
				others = append(others, d.join(0, fmt.Sprint("other", i)))
			}
			d.takeAll()
			for round := range 2 { // Batches are used again.
				var sizes []int
				wide := 0
				d.onSend = func(k *Batch) {
					if len(others) > 0 && k.Deliveries[0].Client == Client(others[0]) {
						return
					}
					if sizes = append(sizes, len(k.Deliveries)); k.IsWide {
						wide++
					}
				}
				for range tc.messages {
					all[0].say(nil, make([]byte, tc.size))
				}
				for _, c := range others {
					c.say(nil, []byte("x"))
				}
				for range 100 { // A sweep takes several slices of a frozen clock's time at most.
					d.fans[0].Flush(func() time.Duration { return d.now })
					if len(d.due) == 0 {
						break
					}
					for _, h := range d.due[:len(d.due)] {
						h.client.got = append(h.client.got, h.bytes...)
						h.batch.Answer(h.i, len(h.bytes), Taken, d.now)
					}
					d.due = nil
				}
				d.onSend = nil
				d.takeAll()
				if !slices.Equal(sizes, tc.want) || wide != tc.wide {
					t.Fatalf("round %d: batches of %v, %d of them wide; want %v and %d", round, sizes, wide, tc.want, tc.wide)
				}
				for i, c := range all {
					if want := (round + 1) * tc.messages * tc.size; len(c.got) != want {
						t.Fatalf("round %d: member %d got %d of %d bytes", round, i, len(c.got), want)
					}
				}
			}
		})
	}
}

// A transport that can no longer is handed small batches again, of what comes.
func TestBatchesAreNarrowAgainWhenAskedFor(t *testing.T) {
	d := newDesk(t, wide)
	d.fans[0].WidenBatches(true)
	var all []*client
	for range 100 {
		all = append(all, d.join(0, "r"))
	}
	d.takeAll()
	for _, widens := range []bool{true, false} {
		d.fans[0].WidenBatches(widens)
		largest := 0
		d.onSend = func(k *Batch) {
			if largest = max(largest, len(k.Deliveries)); k.IsWide != widens {
				t.Errorf("a batch is wide: %v", k.IsWide)
			}
		}
		all[0].say(nil, []byte("hello"))
		d.takeAll()
		if want := map[bool]int{true: 100, false: batchMembers}[widens]; largest != want {
			t.Errorf("widening %v: the largest batch was of %d, want %d", widens, largest, want)
		}
	}
}
