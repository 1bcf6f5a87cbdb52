package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// Who comes and goes is told to subscribers on all loops, its own joining to who has joined, behind
// the reply; of who comes and goes at once nothing. Clients without a protocol come and go as well.
func TestJoinsAreTold(t *testing.T) {
	t.Parallel()
	s, addr, _ := startWithPasses(t, false, func(cfg *config) {
		cfg.Loops, cfg.Rooms, cfg.PublishWindow = 2, rules(t, "told=joins", "kept=presence"), 1<<16
	})
	in := func(name string) *peer {
		p := dialPeer(t, addr, nil)
		p.say(`{"id":1,"connect":{"token":"sub:`+name+` may:*=read+publish info:{\"of\":1}"}}`,
			`{"id":2,"subscribe":{"channel":"told"}}`, `{"id":3,"subscribe":{"channel":"kept"}}`)
		if p.next(); !sameJSON(t, `{"id":2,"subscribe":{}}`, p.next()) {
			t.Fatal("not subscribed")
		}
		p.next()
		return p
	}
	push := func(kind, name, info string) string {
		return fmt.Sprintf(`{"push":{"channel":"told",%q:{"info":{"user":%q,"client":"C"%s}}}}`, kind, name, info)
	}
	const known = `,"conn_info":{"of":1}`
	ann := in("ann")
	ann.hear(push("join", "ann", known))
	bob := in("bob")
	bob.hear(push("join", "bob", known))
	ann.hear(push("join", "bob", known))
	bob.say(`{"id":4,"unsubscribe":{"channel":"told"}}`, `{"id":5,"subscribe":{"channel":"told"}}`, `{"id":6,"unsubscribe":{"channel":"told"}}`)
	bob.hear(`{"id":4,"unsubscribe":{}}`, `{"id":5,"subscribe":{}}`, `{"id":6,"unsubscribe":{}}`)
	ann.hear(push("leave", "bob", known))
	raw := wstest.Connect(t, addr)
	raw.Send(wstest.UpgradeHead("/ws/told?token=sub:carl%20may:*=read"))
	raw.ExpectUpgrade()
	ann.hear(push("join", "carl", ""))
	raw.Close()
	ann.hear(push("leave", "carl", ""))
	ann.say(`{"id":7,"unsubscribe":{"channel":"told"}}`)
	ann.hear(`{"id":7,"unsubscribe":{}}`)
	in("dora").hear(push("join", "dora", known))
	ann.say(`{"id":8,"publish":{"channel":"told","data":1}}`)
	ann.hear(`{"id":8,"publish":{}}`) // and nothing of who comes to rooms that it is not in
	if st, err := s.Stats(t.Context()); err != nil || st.JoinsTold < 5 || st.JoinsDropped != 0 {
		t.Errorf("%d told, %d dropped, %v", st.JoinsTold, st.JoinsDropped, err)
	}
}

// In a room with more clients than are told of nobody is, which is counted; with fewer again they
// are.
func TestJoinsHaveBounds(t *testing.T) {
	t.Parallel()
	s, addr, _ := startWithPasses(t, false, func(cfg *config) { cfg.Rooms = rules(t, "told=joins") })
	token := `{"id":1,"connect":{"token":"sub:ann may:*=read+presence"}}`
	p := dialPeer(t, addr, nil)
	p.say(token, `{"id":2,"subscribe":{"channel":"told"}}`)
	p.next()
	p.next()
	p.next() // its own join
	var others []*wstest.Client
	for range joinsMax {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/told?token=may:*=read"))
		c.ExpectUpgrade()
		others = append(others, c)
	}
	dropped := func() uint64 {
		st, err := s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.JoinsDropped
	}
	testenv.Eventually(t, "somebody was not told of", func() bool { return dropped() > 0 })
	p.say(`{"id":3,"presence_stats":{"channel":"told"}}`, `{"id":4,"presence":{"channel":"told"}}`)
	for got := p.next(); !strings.Contains(got, `"id":3`); got = p.next() { // Some may have come to a room of fewer.
		if !strings.Contains(got, `"join"`) {
			t.Fatal(got)
		}
	}
	if got := p.next(); strings.Count(got, `"client":`) != joinsMax+1 {
		t.Errorf("%d are there", strings.Count(got, `"client":`))
	}
	others[0].Close()
	p.hear(`{"push":{"channel":"told","leave":{"info":{"user":"","client":"C"}}}}`)
}

// What is collected has a bound, and who was not told that it came is not told that it goes.
func TestChangesAreCollected(t *testing.T) {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Release()
	w := &worker{loop: loop}
	var p presences
	first := p.enter("r", &attendee{w: w})
	for range 3 {
		p.leave(p.enter("r", &attendee{w: w, tells: true}))
	}
	a := p.of("r")
	if len(a.changes.list) != 0 || len(w.tellings) != 1 {
		t.Errorf("of who came and went %d changes are told, by %d tellings", len(a.changes.list), len(w.tellings))
	}
	for range changesMax + 7 {
		p.enter("r", &attendee{w: w, tells: true})
	}
	if list, all, dropped := a.take(); list != nil || all != nil || dropped != changesMax+7 || len(w.tellings) != 1 {
		t.Errorf("in a large room %d are told of %d changes, %d dropped, by %d tellings", len(all), len(list), dropped, len(w.tellings))
	}
	p.leave(first)
	for p.users("r") > 0 {
		p.leave(p.of("r").all[0])
	}
}

// Who turns out to be gone when it is told leaves rooms behind the tick's flush: there is to be
// another one, or loops that wait for that are not woken.
func TestAnotherTickFollowsWhatIsTold(t *testing.T) {
	s, _, _ := startWithPasses(t, false, func(cfg *config) { cfg.Rooms = rules(t, "told=joins") })
	err := s.onEachLoop(t.Context(), func(w *worker) {
		w.tellings = []telling{{of: new(attendance)}}
		for _, want := range []time.Duration{0, -1} {
			if next := w.tell(); next != want {
				t.Errorf("the loop may sleep for %v, want %v", next, want)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
