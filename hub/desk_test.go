package hub

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A desk is a hub with two loops whose transport lays every delivery aside until the test says what
// becomes of it.
type desk struct {
	*fixture
	due    []held
	onSend func(k *Batch) // sees each batch first
}

type held struct {
	batch  *Batch
	i      int
	client *client
	bytes  []byte
}

func newDesk(t *testing.T, l Limits) *desk {
	t.Helper()
	d := &desk{fixture: newFixture(t, l)}
	for i := range d.fans {
		d.fans[i] = d.hub.NewFanout(func() { d.woke[i]++ }, d)
	}
	return d
}

func (d *desk) Send(k *Batch) {
	if d.onSend != nil {
		d.onSend(k)
	}
	for i := range k.Deliveries {
		var c *client
		switch one := k.Deliveries[i].Client.(type) {
		case *client:
			c = one
		case *subscriber:
			c = one.client
		}
		d.due = append(d.due, held{k, i, c, k.Deliveries[i].Bytes})
	}
}

// of returns what is due for c, which must be one delivery.
func (d *desk) of(c *client) held {
	d.Helper()
	var found []held
	for _, h := range d.due {
		if h.client == c {
			found = append(found, h)
		}
	}
	if len(found) != 1 {
		d.Fatal(fmt.Sprintf("%d deliveries of the client are with the transport, want 1", len(found)))
	}
	return found[0]
}

func (d *desk) isHanded(c *client) bool {
	return slices.ContainsFunc(d.due, func(h held) bool { return h.client == c })
}

// answer makes the kernel take n bytes of what is due for c.
func (d *desk) answer(c *client, n int, o Outcome) {
	d.Helper()
	d.conclude(d.of(c), n, o)
}

func (d *desk) conclude(h held, n int, o Outcome) {
	d.due = slices.DeleteFunc(d.due, func(o held) bool { return o.batch == h.batch && o.i == h.i })
	h.client.got = append(h.client.got, h.bytes[:n]...)
	h.batch.Answer(h.i, n, o, d.now)
}

// takeAll makes the kernel take whatever is due until nothing is.
func (d *desk) takeAll() {
	d.Helper()
	for range 10_000 {
		for len(d.due) > 0 {
			d.conclude(d.due[0], len(d.due[0].bytes), Taken)
		}
		if d.step(); len(d.due) == 0 {
			return
		}
	}
	d.Fatal("it never ends")
}

// step lets both loops flush until they have nothing to do before the transport answers.
func (d *desk) step() {
	d.Helper()
	for range 1000 {
		isIdle, woke := true, d.woke
		for _, f := range d.fans {
			if f.Flush(func() time.Duration { return d.now }) == 0 {
				isIdle = false
			}
		}
		if isIdle && woke == d.woke {
			return
		}
	}
	d.Fatal("the loops spin while the transport has not answered")
}
