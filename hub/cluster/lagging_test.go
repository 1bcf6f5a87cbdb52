package cluster

import "testing"

// A leader that was elected a moment ago answers before it has all that is stored. That it knows
// less than a room has had is no proof of another stream until it has had the time to catch up.
func TestLeaderThatLagsIsNotAnotherStream(t *testing.T) {
	for _, test := range []struct {
		name             string
		comes, catchesUp bool
	}{
		{"the last message has come", true, true},
		{"the last message is missing", false, true},
		{"the last message has come, and is nobody's", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(1, 1, faults{})
			w.isQuiet, w.mayReset, w.isTainted = true, true, true
			m := w.nodes[0]
			w.join(m)
			name := m.order0(w)
			w.foreign(name)
			w.goOn(20)
			w.foreign(name)
			r := m.byName[name]
			if test.comes {
				m.deliver(1)
				m.pump()
			}
			m.wire = nil
			all := w.kept
			w.kept = all[:len(all)-1]
			w.last--
			m.repair(r, all[len(all)-1].Seq)
			r.mustAsk = true
			w.goOn(2)
			if test.catchesUp {
				w.kept = all
				w.last++
			}
			w.goOn(40)
			v := m.views[name]
			if isOne := len(v.stretches) == 1 && !v.isVoid; isOne != test.catchesUp {
				t.Errorf("the room goes on: %v, want %v", isOne, test.catchesUp)
			}
			if got := len(v.stretches[0].items); got != 2 && test.catchesUp {
				t.Errorf("%d messages came, want 2", got)
			}
		})
	}
}
