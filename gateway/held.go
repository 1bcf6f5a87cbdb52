package gateway

import "time"

// A holding counts the senders of one loop that are not read on, by why, and for how long they have
// not been, all of them together. It knows their number alone: the time of all grows by that number
// for each second, so no connection has to remember since when.
type holding struct{ byRoom, byRate held }

// A held counts those that are not read on for one reason.
type held struct {
	senders int
	total   time.Duration // until at
	at      time.Duration // when the number changed last
}

// begin counts one sender in for each reason. A turn's end is none: it waits for nobody.
func (h *holding) begin(why pause, now time.Duration) { h.change(why, now, 1) }

// end counts it out.
func (h *holding) end(why pause, now time.Duration) { h.change(why, now, -1) }

func (h *holding) change(why pause, now time.Duration, by int) {
	if why&pauseRoom != 0 {
		h.byRoom.change(now, by)
	}
	if why&pauseRate != 0 {
		h.byRate.change(now, by)
	}
}

func (h *held) change(now time.Duration, by int) {
	h.total, h.at = h.until(now), now
	h.senders += by
}

// until is the time of all up to now.
func (h *held) until(now time.Duration) time.Duration {
	return h.total + time.Duration(h.senders)*(now-h.at)
}
