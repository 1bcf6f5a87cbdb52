package cluster

import (
	"fmt"
	"strings"
	"time"
)

// bounds hold at any time.
func (w *world) bounds(m *machine) {
	if m.heldBytes > m.o.HeldBytesMax || m.heldBytes < 0 || m.running > m.o.OpeningsMax {
		w.fail("node %d: %d bytes held, %d tasks of rooms", m.index, m.heldBytes, m.running)
	}
	if len(m.tasksLeft)+len(m.answered) > m.workers() {
		w.fail("node %d: %d tasks, and %d workers", m.index, len(m.tasksLeft)+len(m.answered), m.workers())
	}
	waiting, inFlight := 0, 0
	for i, l := range m.publisher.all {
		if waiting += len(l.waiting); l.inFlight != nil {
			inFlight++
		}
		if l.place != i || m.publisher.lines[l.room] != l {
			w.fail("node %d: the line of %s is not in its place", m.index, l.room)
		}
	}
	if s := m.Stats(); s.Waiting != waiting || s.InFlight != inFlight || len(m.publisher.all) != len(m.publisher.lines) {
		w.fail("node %d: %d packs wait and %d are in flight, and it counts %d and %d", m.index, waiting, inFlight, s.Waiting, s.InFlight)
	}
	for _, l := range m.publisher.lines {
		if l.messages > packMessages || l.bytes > packBytes+m.o.MessageBytesMax {
			w.fail("node %d: %d messages wait, %d bytes", m.index, l.messages, l.bytes)
		}
	}
}

// judgeName: positions that clients were given of a stream that went back are worth nothing.
func (w *world) judgeName() {
	if life := w.names[w.epoch.Name]; life != w.life && w.age == time.Hour {
		w.fail("the epoch of life %d goes on in life %d", life, w.life)
	}
}

// judge holds what all nodes have given their rooms against the truth.
func (w *world) judge() {
	w.judgeName()
	for i := range worldRooms {
		room := fmt.Sprint("room", i)
		truth := w.truthOf(room)
		w.judgeTruth(room, truth)
		for _, m := range w.nodes {
			v := m.views[room]
			if v == nil {
				if m.open[room] {
					w.fail("node %d: %s was opened, and never filled", m.index, room)
				}
				continue
			}
			for _, s := range v.stretches {
				s.judge(w, m, room, truth)
			}
			if m.open[room] {
				v.judgeEnd(w, m, room, truth)
			}
		}
	}
}

// judgeTruth: what was published stands in the stream once, in its publisher's order.
func (w *world) judgeTruth(room string, truth []item) {
	places := map[string]int{}
	for i, it := range truth {
		if _, ok := places[it.text]; ok && !w.keys[it.text] {
			w.fail("%s: %s is in the stream twice", room, it.text)
		}
		places[it.text] = i
	}
	for of, texts := range w.accepted {
		last := -1
		for _, text := range texts {
			i, ok := places[text]
			if !ok {
				continue
			}
			if i < last {
				w.fail("%s: %s of publisher %s is before what it published before", room, text, of)
			}
			last = i
		}
	}
}

// judge: a stretch is a part of the truth without a gap. After a stream that went back, or somebody
// who spoke in its place, one that is not has to have ended with a reset.
func (s *stretch) judge(w *world, m *machine, room string, truth []item) {
	if w.isTainted && s.isEnded {
		return
	}
	var want []item
	for _, it := range truth {
		if it.offset > s.before {
			want = append(want, it)
		}
	}
	for i, it := range s.items {
		if i < len(want) && it.offset == want[i].offset && strings.HasPrefix(it.text, "forged") {
			continue // In the very place of a message that was lost, nothing tells it from that: only NATS' permissions help.
		}
		if i >= len(want) || it != want[i] {
			w.fail("node %d: %s: item %d behind %d is %v, want %v", m.index, room, i, s.before, it, want[min(i, len(want)):min(i+3, len(want))])
			return
		}
	}
}

// judgeEnd: the last stretch goes up to the end.
func (v *view) judgeEnd(w *world, m *machine, room string, truth []item) {
	if v.isVoid || len(v.stretches) == 0 || !m.IsOpen(room) {
		w.fail("node %d: %s is void, and not filled", m.index, room)
		return
	}
	s := v.stretches[len(v.stretches)-1]
	if s.epoch != w.epoch.Name {
		w.fail("node %d: %s is in epoch %s, and the cluster in %s", m.index, room, s.epoch, w.epoch.Name)
	}
	last := item{}
	if len(truth) > 0 {
		last = truth[len(truth)-1]
	}
	if last.offset > s.before && (len(s.items) == 0 || s.items[len(s.items)-1] != last) {
		w.fail("node %d: %s lacks its last message, %v", m.index, room, last)
	}
}
