package natsbroker

import (
	"sync/atomic"

	"sluice/hub/cluster"
)

// happened is what the node has yet to be told. What happens twice is told once.
type happened struct {
	events  atomic.Uint32
	changed chan struct{}
}

func (h *happened) init() { h.changed = make(chan struct{}, 1) }

func (h *happened) raise(e cluster.Event) {
	for isIn := false; !isIn; {
		was := h.events.Load()
		isIn = h.events.CompareAndSwap(was, uint32(cluster.Event(was).Then(e)))
	}
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// take returns what has happened since it was called last.
func (h *happened) take() cluster.Event { return cluster.Event(h.events.Swap(0)) }
