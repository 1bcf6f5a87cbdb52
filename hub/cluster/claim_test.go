package cluster

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/hub"
)

// The largest claim that a node says is no more than a broker has to take: one of a node that
// answers all that it knows, about a message whose id is longer than any of ours.
func TestLargestClaimIsWithinTheBound(t *testing.T) {
	largest := Claim{
		Node: strings.Repeat("x", 12), Epoch: newName(), Asks: newName(), SeenID: strings.Repeat("x", 64),
		Revision: math.MaxUint64, Last: math.MaxUint64, Seen: math.MaxUint64, IsTrusted: true,
	}
	for range knownMax {
		largest.Answers = append(largest.Answers, newName())
	}
	text, err := json.Marshal(largest)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > ClaimBytesMax/2 {
		t.Errorf("%d bytes, want half of %d at most", len(text), ClaimBytesMax)
	}
}

// two are nodes that have a room open and know each other.
func two(t *testing.T) (w *world, a, b *machine) {
	t.Helper()
	w = newWorld(1, 2, faults{})
	w.isQuiet, w.mayReset = true, true
	a, b = w.nodes[0], w.nodes[1]
	for _, m := range w.nodes {
		m.open["room1"] = true
		_, _ = m.doors.ask("room1", 10)
		m.wakeUp()
	}
	if w.goOn(60); !a.knows(b) || !b.knows(a) {
		t.Fatal("they do not know each other")
	}
	return w, a, b
}

// say publishes in the room.
func (m *machine) say(t *testing.T, text string) *answer {
	t.Helper()
	a := new(answer)
	err := m.Node.Publish("room1", hub.Source{Payload: []byte(text)}, "", func(p hub.Position, err error) {
		a.isThere, a.err = true, err
		m.w.acknowledged("room1", text, p, err)
	})
	if err != nil {
		t.Fatal(err)
	}
	m.pump()
	return a
}

type answer struct {
	isThere bool
	err     error
}

// An older store is copied back, which a node takes for the stream that it knows: what that lacks
// came while it was away. It goes by it no sooner than the other one has told.
func TestWhoWasAwayIsToldThatTheStreamWentBack(t *testing.T) {
	for _, withEpoch := range []bool{true, false} {
		w, a, b := two(t)
		a.disconnect()
		w.copyStore()
		before := w.epoch.Name
		b.say(t, "lost")
		w.goOn(30)
		w.restore(w.copies[0], withEpoch)
		a.connect()
		b.backAt = w.now + backTime
		told := a.say(t, "in its place")
		if w.goOn(int((backTime - tickTime) / tickTime)); told.isThere || len(w.kept) > 0 {
			t.Errorf("with the epoch %v: it was published, and nobody knows whether the stream is the same", withEpoch)
		}
		w.goOn(50)
		if !told.isThere || told.err != nil || a.epoch != b.epoch || a.epoch == before {
			t.Errorf("with the epoch %v: %+v in %s and %s, before in %s", withEpoch, told, a.epoch, b.epoch, before)
		}
		w.judge()
		for _, violation := range w.violations {
			t.Error(violation)
		}
	}
}

// An epoch that began while a node was away is one in which it has seen nothing: it looks at the
// stream again, with what the other one has seen in it.
func TestWhoWasAwayLooksAgainInANewEpoch(t *testing.T) {
	w, a, b := two(t)
	b.say(t, "in the first epoch")
	w.goOn(10)
	a.disconnect()
	before := a.epoch
	w.restore(store{duplicates: map[string]Stored{}}, false)
	a.backAt = 0
	b.say(t, "in a new epoch")
	w.goOn(90)
	between := w.epoch.Name
	w.copyStore()
	b.say(t, "lost")
	w.goOn(10)
	w.restore(w.copies[0], false)
	w.foreign("room1")
	a.connect()
	b.connect()
	told := a.say(t, "in its place")
	w.goOn(60)
	if before == between || a.epoch == between || a.epoch != b.epoch || !told.isThere || told.err != nil {
		t.Errorf("%+v in %s and %s, before in %s", told, a.epoch, b.epoch, between)
	}
	w.judge()
	for _, violation := range w.violations {
		t.Error(violation)
	}
}

// A node that is started when an older store is there, and nobody else is, knows nothing of it. It
// waits for those who do, if they come soon.
func TestNodeThatIsStartedWaitsForThoseThatKnow(t *testing.T) {
	w, a, b := two(t)
	before := w.epoch.Name
	w.copyStore()
	b.say(t, "lost")
	w.goOn(10)
	w.restore(w.copies[0], true)
	a.backAt, b.backAt = w.now+awaitNobody-2*tickTime, w.now+awaitTime
	c := newMachine(w, 2)
	w.nodes = append(w.nodes, c)
	c.pump()
	told := c.say(t, "in its place")
	if w.goOn(int((awaitTime - tickTime) / tickTime)); told.isThere || len(w.kept) > 0 {
		t.Error("it was published, and nobody knows whether the stream is the same")
	}
	if w.goOn(60); !told.isThere || told.err != nil || w.epoch.Name == before || !c.isTrusted {
		t.Errorf("%+v in %s, before in %s", told, w.epoch.Name, before)
	}
	w.judge()
	for _, violation := range w.violations {
		t.Error(violation)
	}
}

// What somebody claims who is no node is what the stream is not: a new epoch, and no more than one.
func TestClaimOfWhatNeverWasIsAnotherStream(t *testing.T) {
	w, a, b := two(t)
	before := w.epoch.Name
	lie := Claim{Node: "nobody", Epoch: before, Revision: 1 << 60, Last: 1 << 60}
	a.hear(&lie)
	if w.goOn(100); w.epoch.Name == before || !a.isTrusted || !b.isTrusted {
		t.Errorf("in %s, before in %s, doubts %v and %v", w.epoch.Name, before, a.doubt, b.doubt)
	}
	after := w.epoch.Name
	lie.Revision = 0
	a.hear(&lie)
	if w.goOn(100); w.epoch.Name != after {
		t.Errorf("in %s: what is claimed of %s says nothing of %s", w.epoch.Name, before, after)
	}
	for _, violation := range w.violations {
		t.Error(violation)
	}
}

// Whoever does not come back is not waited for any longer than awaitTime, and one that nobody has
// heard of no longer than awaitNobody.
func TestNodesThatDoNotComeBackAreNotWaitedForLong(t *testing.T) {
	w, a, b := two(t)
	trusts := func(want time.Duration) {
		t.Helper()
		b.disconnect()
		a.disconnect()
		a.pump()
		a.connect()
		a.pump()
		for from := w.now; !a.isTrusted; w.goOn(1) {
			if w.now-from > want+2*tickTime {
				t.Fatalf("the stream is not gone by after %v", w.now-from)
			}
		}
		if is := w.now - a.askedAt; is < want {
			t.Errorf("it waited for %v, want %v", is, want)
		}
	}
	trusts(awaitTime)
	b.disconnect()
	w.goOn(int((knownTime + time.Second) / tickTime))
	if len(a.known) != 0 {
		t.Fatal("a node that is gone is known still")
	}
	trusts(awaitNobody)
	doubts := a.doubts
	a.raise(Up) // As when the stream has no leader for a moment: who was there knows.
	if w.goOn(1); !a.isTrusted || a.doubts == doubts {
		t.Error("nobody is known, and waited for")
	}
}

// One that was told before its connection came is told nothing of the stream that is there now.
func TestClaimThatWasLateIsNoAnswer(t *testing.T) {
	w, a, b := two(t)
	a.disconnect()
	b.claim()
	late := Claim{Node: b.boot, Epoch: b.epoch, Revision: b.revision, Last: b.reached, IsTrusted: true, Answers: []string{a.question}}
	b.disconnect()
	a.connect()
	a.pump()
	a.hear(&late)
	if w.goOn(5); a.isTrusted {
		t.Error("the stream is gone by")
	}
	b.connect()
	if w.goOn(5); !a.isTrusted || !b.isTrusted {
		t.Error("the stream is not gone by, and both have spoken")
	}
}

// How many are known, and answered at a time, has a bound; beyond it nobody is waited for.
func TestKnownNodesHaveABound(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	w.goOn(5)
	for range 2 * knownMax {
		name := newName()
		m.hear(&Claim{Node: name, Epoch: m.epoch, Asks: name})
	}
	if len(m.known) != knownMax || len(m.toAnswer) > knownMax {
		t.Errorf("%d are known, %d are to be answered", len(m.known), len(m.toAnswer))
	}
	if w.goOn(1); len(m.toAnswer) != 0 || slices.ContainsFunc(m.told, func(c Claim) bool { return len(c.Answers) > knownMax }) {
		t.Errorf("%d are not answered", len(m.toAnswer))
	}
}
