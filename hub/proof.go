package hub

import "time"

// Proved says that a room of this epoch has had no message behind its last one up to an offset, as
// far as who gives it its order knows. A position in between is not ahead, and who stands there has
// missed nothing: on another node the room may begin there, without having kept anything. It is for
// the goroutine that Append is for.
func (h *Hub) Proved(name, epoch string, offset uint64) {
	r, ok := h.Room(name)
	if !ok || r.log.history == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if is := r.log.history; is.filling == isWhole && is.epoch == epoch {
		is.provedTo = max(is.provedTo, offset)
	}
}

// end is the offset up to which it is known what the room has had.
func (h *history) end() uint64 { return max(h.last.offset, h.provedTo) }

// Oldest is the offset of the oldest message that a room is to keep by its History, and for how
// long it has been there by the clock of Append; not ok if there is none. Any goroutine may ask.
func (h *Hub) Oldest(name string, now time.Duration) (offset uint64, age time.Duration, ok bool) {
	r, ok := h.Room(name)
	if !ok || r.log.history == nil {
		return 0, 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.log
	if r.isClosed || l.history.filling != isWhole || l.isEmpty() {
		return 0, 0, false
	}
	c := l.tracks[source].at(l.needFrom())
	c.settle()
	k := c.seg.record(c.frame)
	return k.mark().offset, now - k.at(), true
}
