//go:build linux

package gateway

import (
	"math/rand/v2"
	"time"

	"sluice/hub"
)

// A lateTransport is one that does not answer at once: each delivery is written in a later pass of
// its loop, in any order, as by a kernel that is handed many at a time.
type lateTransport struct {
	w      *worker
	random *rand.Rand
	due    []lateDelivery
}

type lateDelivery struct {
	batch *hub.Batch
	i     int
}

// newLateTransport takes the place of the worker's own.
func newLateTransport(w *worker, random *rand.Rand) {
	t := &lateTransport{w: w, random: random}
	w.fan = w.server.hub.NewFanout(w.loop.Wake, t)
	w.loop.BeforeSleep(t.answerSome)
}

// Send implements hub.Transport.
func (t *lateTransport) Send(k *hub.Batch) {
	for i := range k.Deliveries {
		t.due = append(t.due, lateDelivery{k, i})
	}
}

// answerSome answers for some that are due, one at least.
func (t *lateTransport) answerSome() time.Duration {
	if len(t.due) == 0 {
		return -1
	}
	for range 1 + t.random.IntN(len(t.due)) {
		n := t.random.IntN(len(t.due))
		d := t.due[n]
		t.due = append(t.due[:n], t.due[n+1:]...)
		c := connOf(d.batch.Deliveries[d.i].Client)
		taken, outcome := len(d.batch.Deliveries[d.i].Bytes), hub.Taken // Of one that died before its answer.
		if c.life != dead {
			var err error
			taken, err = c.transport().Write(int(c.fd), d.batch.Deliveries[d.i].Bytes)
			outcome = c.outcomeOf(err)
		}
		d.batch.Answer(d.i, taken, outcome, t.w.loop.Now())
		if len(t.due) == 0 {
			break
		}
	}
	return 0 // What was answered for goes on.
}
