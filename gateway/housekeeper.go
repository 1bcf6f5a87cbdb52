package gateway

import "time"

const (
	// houseEvery is how often the housekeeper looks: a storm may be over within a second.
	houseEvery = 100 * time.Millisecond
	// givenUpMin is how much less must be needed than before, a third of it at least, and giveBackAfter
	// for how many looks in a row, for memory to be given back: it takes a collection.
	givenUpMin    = 32 << 20
	giveBackAfter = 50
)

// A housekeeper gives memory back to the system, once, after much of it was let go of: without
// traffic the runtime collects nothing for two minutes, and gives back slowly what it has collected.
// For 900 MiB that takes some 110 ms, in which a loop was held for half a millisecond at most.
// It goes by what the gateway knows that it needs, so a program that the gateway is a part of is not
// made to collect garbage for a reason of its own.
type housekeeper struct {
	needed func() int64 // bytes
	give   func()       // nil: nothing is to be done

	most  int64 // that were needed since memory was given back last
	looks int   // in a row at which much less was needed
}

func (h *housekeeper) look() {
	now := h.needed()
	h.most = max(h.most, now)
	if less := h.most - now; less < givenUpMin || less < h.most/3 {
		h.looks = 0
		return
	}
	if h.looks++; h.looks < giveBackAfter {
		return
	}
	h.looks, h.most = 0, now
	if h.give != nil {
		h.give()
	}
}

// idleConnection is what a connection is taken to need, whatever else it holds.
const idleConnection = 1 << 10

// needed is how many bytes the gateway knows that it needs at this moment.
func (s *Server) needed() int64 {
	sum := s.hub.Retained() + s.open.Load()*idleConnection
	for _, w := range s.workers {
		sum += w.inputBudget.shown.Load()
	}
	return sum
}
