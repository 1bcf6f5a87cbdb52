package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// Who is there is what a plain list says, after any number of clients have come and gone.
func TestPresenceAgainstAPlainList(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 5))
	var p presences
	type one struct {
		room, user string
		info       centrifuge.Info
		in         *attendee
	}
	var there []one
	for step := range 4000 {
		if n := len(there); n > 0 && random.IntN(20) < 10 {
			i := random.IntN(n)
			p.leave(there[i].in)
			there = slices.Delete(there, i, i+1)
		} else {
			c := one{room: string("abc"[random.IntN(3)]), user: string("xyz"[random.IntN(3)])}
			c.info = infoOf(&Principal{Subject: c.user}, fmt.Sprint(step), nil)
			c.in = p.enter(c.room, &attendee{user: c.user, info: c.info})
			there = append(there, c)
		}
		var infos []string
		users, rooms := map[string]bool{}, map[string]bool{}
		for _, c := range there {
			rooms[c.room] = true
			if c.room == "a" {
				infos = append(infos, string(c.info))
				users[c.user] = true
			}
		}
		told, ok := p.infos("a")
		var got []string
		for _, info := range told {
			got = append(got, string(info))
		}
		slices.Sort(got)
		slices.Sort(infos)
		if !ok || !slices.Equal(got, infos) || p.users("a") != len(users) || len(p.rooms) != len(rooms) {
			t.Fatalf("step %d: %q of %d users in %d rooms, want %q, %d, %d", step, got, p.users("a"), len(p.rooms), infos, len(users), len(rooms))
		}
	}
}

// Clients of several loops come and go at once.
func TestPresenceFromManyLoops(t *testing.T) {
	var p presences
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 500 {
				in := p.enter("r", &attendee{user: fmt.Sprint(i % 2), info: "info"})
				if p.users("r") == 0 {
					t.Error("nobody is there, beside who asks")
				}
				p.leave(in)
			}
		})
	}
	all.Wait()
	if len(p.rooms) != 0 {
		t.Errorf("%d rooms are kept, and nobody is there", len(p.rooms))
	}
}

// Beyond either bound nobody is told, lest a part be taken for the whole; how many users there are
// is.
func TestPresenceHasBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		info centrifuge.Info
		fit  int
	}{
		"clients": {"i", presenceMax},
		"bytes":   {centrifuge.Info(strings.Repeat("i", presenceBytes/64)), 64},
	} {
		var p presences
		for range tc.fit {
			p.enter("r", &attendee{info: tc.info})
		}
		if all, ok := p.infos("r"); !ok || len(all) != tc.fit {
			t.Errorf("%s: %d that fit are %d, %v", name, tc.fit, len(all), ok)
		}
		one := p.enter("r", &attendee{user: "bob", info: tc.info})
		if all, ok := p.infos("r"); ok || all != nil || p.users("r") != 2 {
			t.Errorf("%s: of more than fit %d are told, of %d users", name, len(all), p.users("r"))
		}
		p.leave(one)
		if _, ok := p.infos("r"); !ok {
			t.Errorf("%s: nobody is told, though all fit again", name)
		}
	}
}

// Who is in rooms that keep it takes no more than SECURITY.md says, though everybody is another
// user.
func TestAttendeesAreSmall(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector's memory would be measured")
	}
	const rooms, each = 200, hub.TallyKeysMax
	var p presences
	before, told := testenv.LiveHeap(), int64(0)
	for i := range rooms * each {
		user := fmt.Sprint("user", i)
		in := p.enter(fmt.Sprint("room", i%rooms), &attendee{user: user, info: infoOf(&Principal{Subject: user}, fmt.Sprint("client", i), nil)})
		told += int64(len(in.info))
	}
	for i := range rooms {
		if _, keys := p.tally(fmt.Sprint("room", i)); len(keys) != each {
			t.Fatalf("%d users are told of one by one, want %d", len(keys), each)
		}
	}
	took := (testenv.LiveHeap() - before - told) / (rooms * each)
	t.Logf("a client in a room takes %d bytes beside what others are told of it", took)
	if took > 512 {
		t.Errorf("a client in a room takes %d bytes beside what others are told of it, more than 512", took)
	}
	large := []byte(`"` + strings.Repeat("x", InfoMax-2) + `"`)
	longest := infoOf(&Principal{Subject: strings.Repeat("s", subjectMax), Info: large}, strings.Repeat("c", 40), large)
	if n := len(longest); n > 2560 || n < 2*InfoMax {
		t.Errorf("others are told %d bytes of a client at most, not up to 2.5 KiB", n)
	}
	runtime.KeepAlive(&p)
}

// Clients without a protocol are there as well, with what is known of them, if their room's rule
// has it kept; those that only publish are not. Rules count for those who are there when they
// change.
func TestPresenceOfClientsWithoutAProtocol(t *testing.T) {
	cfg := testConfig()
	cfg.Rooms = rules(t, "kept.*=presence", "kept.not=nopresence")
	auth := scriptedAuth{judge: func(h *Handshake) (Principal, error) {
		return Principal{Kind: KindToken, Subject: h.Token, Grants: grants(t, "*=read,publish"), Info: []byte(`{"name":"` + h.Token + `"}`)}, nil
	}}
	cfg.Auth = auth
	s, addr := startGateway(t, cfg)
	wstest.Join(t, addr, "/ws/kept.a?token=ann")
	bob := wstest.Join(t, addr, "/ws/kept.a?token=bob")
	wstest.Join(t, addr, "/ws/kept.a?token=carl&echo=0")
	events := wstest.Connect(t, addr)
	events.Send([]byte("GET /sse/kept.a?token=eve HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	wstest.Join(t, addr, "/ws/kept.not?token=ann")
	there := func(room string) (users []string) {
		all, err := s.Attendees(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if want := `{"name":"` + a.User + `"}`; string(a.ConnInfo) != want || a.ChanInfo != nil {
				t.Errorf("of %s is told %s, %s", a.User, a.ConnInfo, a.ChanInfo)
			}
			users = append(users, a.User)
		}
		slices.Sort(users)
		return users
	}
	testenv.Eventually(t, "three are there", func() bool { return slices.Equal(there("kept.a"), []string{"ann", "bob", "eve"}) })
	if n, err := s.Users(t.Context(), "kept.a"); n != 3 || err != nil {
		t.Errorf("%d users, %v", n, err)
	}
	all, _ := s.Attendees(t.Context(), "kept.a")
	for _, a := range all {
		if _, err := s.Connection(t.Context(), a.ID+"0"); err == nil {
			t.Error("there is a connection of another run")
		}
		if c, err := s.Connection(t.Context(), a.ID); err != nil || c.Subject != a.User || c.Room != "kept.a" {
			t.Errorf("%+v is %+v, %v", a, c, err)
		}
	}
	for room, want := range map[string]error{"kept.not": ErrNoPresence, "other": ErrNoPresence, "a/b": ErrRoomName, "kept.empty": nil} {
		if all, err := s.Attendees(t.Context(), room); !errors.Is(err, want) || len(all) > 0 {
			t.Errorf("%s: %v, %v, want %v", room, all, err, want)
		}
	}
	bob.Close()
	events.Close()
	testenv.Eventually(t, "one is there", func() bool { return slices.Equal(there("kept.a"), []string{"ann"}) })

	o := s.config().Options
	o.Rooms = rules(t, "kept.not=presence", "kept.a=readonly")
	if _, err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Attendees(t.Context(), "kept.not"); err != nil || len(all) != 1 || all[0].User != "ann" || all[0].ConnInfo != nil {
		t.Errorf("there before the rule: %+v, %v", all, err)
	}
	if s.presences.of("kept.a") != nil {
		t.Error("who is in a room is kept that no rule names any more")
	}
}

// users is how many there are in a room.
func (p *presences) users(room string) int {
	a := p.of(room)
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.users)
}
