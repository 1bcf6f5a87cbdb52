package gateway

import (
	"sync"
	"sync/atomic"
)

// outside is what publishers share that are on no loop.
type outside struct {
	encoders  sync.Pool
	published atomic.Uint64

	joinsDropped   atomic.Uint64 // of other nodes
	unacknowledged atomic.Uint64

	deflations, deflatedFrom, deflatedTo atomic.Uint64
}

func (o *outside) encoder(cfg *config) *encoder {
	e, ok := o.encoders.Get().(*encoder)
	if !ok {
		e = new(encoder)
	}
	e.setTo(cfg)
	return e
}

// giveBack takes what an encoder has counted, and lets go of its message.
func (o *outside) giveBack(e *encoder) {
	o.take(e)
	e.done()
	o.encoders.Put(e)
}

// take adds what an encoder has counted.
func (o *outside) take(e *encoder) {
	if e.deflations > 0 {
		o.deflations.Add(e.deflations)
		o.deflatedFrom.Add(e.deflatedFrom)
		o.deflatedTo.Add(e.deflatedTo)
		e.deflations, e.deflatedFrom, e.deflatedTo = 0, 0, 0
	}
}

func (o *outside) addTo(s *Stats) {
	s.Published += o.published.Load()
	s.JoinsDropped += o.joinsDropped.Load()
	s.Unacknowledged += o.unacknowledged.Load()
	s.Deflated += o.deflations.Load()
	s.DeflatedFrom += o.deflatedFrom.Load()
	s.DeflatedTo += o.deflatedTo.Load()
}
