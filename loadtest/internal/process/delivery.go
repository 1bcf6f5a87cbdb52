package process

import (
	"bytes"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
)

// deliver judges one message.
func (c *client) deliver(m *membership, p []byte, now int64) {
	w := c.w
	if w.process.cfg.Contains {
		p = c.unwrap(p)
	}
	s, v := payload.Check(p, w.process.tag)
	if v != payload.Intact {
		c.deliverOdd(m, s, v)
		return
	}
	// A publisher of another room, or one that does not exist, cannot be: the payload is intact.
	// But a server may mix rooms.
	rooms := len(w.process.rooms)
	place := uint32(int(s.Publisher) / rooms)
	if int(s.Publisher)%rooms != m.room.index || int(place) >= len(m.check.next) {
		m.check.counts.Foreign++
		return
	}
	st := m.room.streams[place]
	if s.Seq < w.warm[st.id] || st.isUnheardBy(c) {
		return
	}
	isNew, settled := m.check.take(place, s.Seq)
	if !isNew {
		return
	}
	if c.kind != load.KindReader {
		return
	}
	w.latency.Record(now - s.Due)
	if settled > 0 {
		w.received(st, s.Seq, now)
	}
	for ; settled > 1; settled-- {
		w.released(st, s.Seq-settled+1)
	}
}

// unwrap finds our payload in an envelope; without one it returns p. What the stamp says decides
// where it ends: if that is damaged, the checksum will not fit.
func (c *client) unwrap(p []byte) []byte {
	tag := &c.w.process.tag
	i := bytes.Index(p, tag[:])
	if i < 0 || len(p)-i < payload.SizeMin {
		return p
	}
	s, _ := payload.Check(p[i:], *tag)
	return p[i:min(len(p), i+c.w.process.cfg.Size.Of(s.Publisher, s.Seq))]
}

// deliverOdd counts a message that is damaged or not ours.
func (c *client) deliverOdd(m *membership, s payload.Stamp, v payload.Verdict) {
	if v == payload.Foreign {
		m.check.counts.Foreign++
		return
	}
	place := uint32(int(s.Publisher) / len(c.w.process.rooms))
	if m.check.takeCorrupt(place, s.Seq) > 0 && c.kind == load.KindReader {
		c.w.released(m.room.streams[place], s.Seq)
	}
}
