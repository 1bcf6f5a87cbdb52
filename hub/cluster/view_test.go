package cluster

import (
	"strings"
	"time"

	"sluice/hub"
)

// A view is what one room was given by its node, in stretches that are whole by themselves.
type view struct {
	stretches []*stretch
	isVoid    bool // reset, and not filled
}

type stretch struct {
	epoch   string
	before  uint64
	items   []item
	isEnded bool // by a reset
}

type item struct {
	offset uint64
	text   string
}

func (m *machine) view(room string) *view {
	v := m.views[room]
	if v == nil {
		v = &view{isVoid: true}
		m.views[room] = v
	}
	return v
}

func (m *machine) Append(room, epoch string, all []hub.Source) {
	for i := range all {
		m.append(room, epoch, &all[i])
	}
}

func (m *machine) append(room, epoch string, s *hub.Source) {
	v := m.view(room)
	if v.isVoid {
		m.w.fail("node %d: %s: %q comes before the room is filled", m.index, room, s.Payload)
		return
	}
	last := v.stretches[len(v.stretches)-1]
	if last.epoch != epoch {
		m.w.fail("node %d: %s: epoch %s within %s", m.index, room, epoch, last.epoch)
	}
	if !strings.HasPrefix(string(s.Payload), "forged") {
		m.heard = max(m.heard, s.Offset/packMessages)
	}
	m.w.place(epoch, s.Offset, room, string(s.Payload))
	last.items = append(last.items, item{s.Offset, string(s.Payload)})
}

func (m *machine) Fill(room, epoch string, before uint64, kept []hub.Source) {
	v := m.view(room)
	if !v.isVoid && v.stretches[len(v.stretches)-1].epoch == epoch {
		return // As the hub does: it has all of that.
	}
	v.isVoid = false
	s := &stretch{epoch: epoch, before: before}
	for i := range kept {
		m.w.place(epoch, kept[i].Offset, room, string(kept[i].Payload))
		s.items = append(s.items, item{kept[i].Offset, string(kept[i].Payload)})
	}
	v.stretches = append(v.stretches, s)
}

func (m *machine) Reset(room, epoch string) {
	v := m.view(room)
	v.isVoid = true
	for _, s := range v.stretches {
		s.isEnded = true
	}
	if !m.w.mayReset {
		m.w.fail("node %d: %s was reset, and nothing had happened that could not be repaired", m.index, room)
	}
}

// Proved must be true: nothing was ever stored there.
func (m *machine) Proved(room, epoch string, offset uint64) {
	m.proved[room] = offset
	v := m.view(room)
	if v.isVoid || m.w.isTainted {
		return
	}
	s := v.stretches[len(v.stretches)-1]
	for _, it := range m.w.truthOf(room) {
		if s.epoch == epoch && it.offset > s.end() && it.offset <= offset {
			m.w.fail("node %d: %s is proved to end at %d, up to %d, and there is %v", m.index, room, s.end(), offset, it)
		}
	}
}

// end is the offset of what the room got last.
func (s *stretch) end() uint64 {
	if n := len(s.items); n > 0 {
		return max(s.before, s.items[n-1].offset)
	}
	return s.before
}

func (m *machine) Oldest(room string) (offset uint64, age time.Duration, ok bool) {
	v := m.view(room)
	if v.isVoid || len(v.stretches[len(v.stretches)-1].items) == 0 {
		return 0, 0, false
	}
	items := v.stretches[len(v.stretches)-1].items
	if most := m.o.HistoryOf(room).Messages; most > 0 && len(items) > most {
		items = items[len(items)-most:]
	}
	for _, s := range m.w.truth {
		if s.Seq == items[0].offset/packMessages {
			return items[0].offset, m.w.now - time.Duration(s.Time), true
		}
	}
	return 0, 0, false
}

func (m *machine) Close(room string) bool {
	if m.open[room] {
		return false
	}
	delete(m.views, room)
	return true
}

func (m *machine) Hold(room string, on bool) {
	if m.holds[room] == on {
		m.w.fail("node %d: %s is held twice, or let go twice", m.index, room)
	}
	m.holds[room] = on
}

func (m *machine) Outage(on bool) {
	if m.isOut == on {
		m.w.fail("node %d: an outage began or ended twice", m.index)
	}
	m.isOut = on
}
