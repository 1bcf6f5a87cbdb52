package hub

import (
	"fmt"
	"testing"
	"time"
)

// A quiet room's message waits neither for rooms whose members were refused and are ready to take
// much, nor for a member of its own room that is. Those have their turns all the same.
func TestQuietRoomDoesNotWaitForReadyMembers(t *testing.T) {
	const rooms, size = 60, 20_000
	d := newDesk(t, wide)
	var floods []*client
	for i := range rooms {
		floods = append(floods, d.join(0, fmt.Sprint("flood", i)))
	}
	quiet, slow := d.join(0, "quiet"), d.join(0, "quiet")
	refused := append(floods, slow)
	for _, c := range refused {
		c.say(nil, make([]byte, size))
	}
	d.step()
	d.answer(quiet, size, Taken)
	for _, c := range refused {
		d.answer(c, 0, Refused)
	}
	d.takeAll()
	for _, c := range refused {
		c.Ready()
	}
	quiet.got = nil
	quiet.say(nil, []byte("hello"))

	d.fans[0].transport = answeringAtOnce{d, slice / 10}
	start, flushes := d.now, 0
	d.onSend = func(k *Batch) {
		if k.Deliveries[0].Client == Client(quiet) && d.now-start > slice/5 {
			t.Errorf("the quiet room's message goes out after %v", d.now-start)
		}
	}
	for d.fans[0].Flush(func() time.Duration { return d.now }) == 0 {
		if flushes++; len(quiet.got) == 0 {
			t.Fatal("the quiet room's message waits for another tick")
		}
		if flushes > 10*rooms {
			t.Fatal("it never ends")
		}
	}
	if string(quiet.got) != "hello" {
		t.Errorf("it has got %q", quiet.got)
	}
	for _, c := range refused {
		if want := int(c.branch.track.end.Load()); len(c.got) != want || c.IsBlocked() {
			t.Errorf("a member that was refused has %d of %d bytes and is %v", len(c.got), want, c.state)
		}
	}
}
