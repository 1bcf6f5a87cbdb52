package gateway

import "time"

const (
	// houseEvery is how often the housekeeper looks: a storm may be over within a second.
	houseEvery = 100 * time.Millisecond
	// givenUpMin is how much less must be needed than before, a third of it at least, and
	// giveBackAfter for how many looks in a row, for memory to be given back: it takes a
	// collection.
	givenUpMin    = 32 << 20
	giveBackAfter = 50
	// cameMin is how many connections more than before, a quarter of all at least, and calmAfter
	// for how many looks in a row hardly any must have come, for what they let go of on their way
	// in to be given back: as many bytes as they keep, with what the runtime holds ready for more
	// of it.
	cameMin   = 1000
	calmAfter = 20
)

// A housekeeper gives memory back to the system, once, after much of it was let go of: without
// traffic the runtime collects nothing for two minutes, and gives back slowly what it has
// collected. For 900 MiB that takes some 110 ms, in which a loop was held for half a millisecond at
// most. It does the same, once, when a crowd of connections has come: for 18,000 that takes 6 ms.
// It goes by what the gateway knows that it needs, so a program that the gateway is a part of is
// not made to collect garbage for a reason of its own.
type housekeeper struct {
	needed func() int64 // bytes
	open   func() int64 // connections
	give   func()       // nil: nothing is to be done

	most  int64 // bytes that were needed since memory was given back last
	looks int   // in a row at which much less was needed

	fewest int64 // connections since memory was given back last
	seen   int64 // connections at the last look
	calm   int   // looks in a row at which hardly any more had come
}

func (h *housekeeper) look() {
	hasLetGo, hasGathered := h.letGo(), h.gathered()
	if (hasLetGo || hasGathered) && h.give != nil {
		h.give()
	}
}

// letGo says that much less is needed than before, and that memory is to be given back for it.
func (h *housekeeper) letGo() bool {
	now := h.needed()
	h.most = max(h.most, now)
	if less := h.most - now; less < givenUpMin || less < h.most/3 {
		h.looks = 0
		return false
	}
	if h.looks++; h.looks < giveBackAfter {
		return false
	}
	h.looks, h.most = 0, now
	return true
}

// gathered says that a crowd of connections has come, and that memory is to be given back for it.
func (h *housekeeper) gathered() bool {
	now := h.open()
	h.fewest = min(h.fewest, now)
	h.calm++
	if now > h.seen+h.seen/100 {
		h.calm = 0
	}
	h.seen = now
	if h.calm < calmAfter || now-h.fewest < max(cameMin, now/4) {
		return false
	}
	h.fewest = now
	return true
}
