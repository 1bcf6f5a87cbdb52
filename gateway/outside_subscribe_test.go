package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// onlyOf is the connection of the only client of a subject.
func onlyOf(t testing.TB, s *Server, subject string) string {
	t.Helper()
	conns, _, err := s.Connections(t.Context(), ConnQuery{Subject: subject, Limit: 2})
	if err != nil || len(conns) != 1 {
		t.Fatalf("%v, %v", conns, err)
	}
	return conns[0].ID
}

// A backend brings clients into rooms that they could not read by themselves. They are told where
// they begin, hear what follows, and what they were granted there ends with the connection.
// Relatives: a room whose history nobody reads in their encoding yet; one that is there already,
// has not connected, or speaks no protocol.
func TestBackendBringsClientsIntoRooms(t *testing.T) {
	s, addr, _ := startWithPasses(t, false, func(cfg *config) {
		cfg.PingInterval = 25 * time.Second
		cfg.History = keeping().History
		cfg.newEpoch = keeping().newEpoch
		cfg.Rooms = []RoomRule{{Pattern: "*", Presence: true}}
		cfg.MaxSubscriptions = 3
	})
	connect := func(token string) *peer {
		p := dialPeer(t, addr, nil)
		p.say(`{"id":1,"connect":{"token":"` + token + `"}}`)
		p.hear(`{"id":1,"connect":{` + welcomed + `}}`)
		return p
	}
	ann, too, bob := connect("sub:ann"), connect("sub:ann"), connect("sub:bob")
	dialPeer(t, addr, nil) // says nothing
	raw := wstest.Join(t, addr, "/ws/kept.a?token=sub:ann%20may:kept.*=read")
	for range 2 {
		if _, err := s.Publish("kept.a", Message{Data: []byte("before")}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // The second time they are there.
		if _, err := s.SubscribeSubject(t.Context(), "ann", "kept.a", Placement{Info: []byte(`{"seat":7}`)}); err != nil {
			t.Fatal(err)
		}
	}
	brought := func(room, more string) string {
		return fmt.Sprintf(`{"push":{"channel":%q,"subscribe":{%s}}}`, room, more)
	}
	if _, err := s.Publish("kept.a", Message{Data: []byte("after")}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{ann, too} {
		p.expect(brought("kept.a", ""), pushed("kept.a", `"after"`, 3, ""))
	}
	all, err := s.Attendees(t.Context(), "kept.a")
	if err != nil || len(all) != 3 || !strings.Contains(fmt.Sprintf("%s", all), `{"seat":7}`) {
		t.Errorf("%s, %v", all, err)
	}
	raw.ExpectFrame(1, "before")

	// By its id, as often as it has place.
	id := onlyOf(t, s, "bob")
	for i, room := range []string{"a", "b", "c"} {
		if _, err := s.Subscribe(t.Context(), id, "", room, Placement{}); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		bob.expect(brought(room, ""))
	}
	if _, err := s.Subscribe(t.Context(), id, "", "d", Placement{}); !errors.Is(err, ErrTooManySubscriptions) {
		t.Errorf("a fourth room: %v", err)
	}
	bob.say(`{"id":2,"publish":{"channel":"a","data":1}}`, `{"id":3,"unsubscribe":{"channel":"a"}}`, `{"id":4,"subscribe":{"channel":"a"}}`)
	denied := `"error":{"code":103,"message":"permission denied"}}`
	bob.expect(`{"id":2,`+denied, `{"id":3,"unsubscribe":{}}`, `{"id":4,`+denied)
	for _, bad := range []struct {
		room string
		info string
		want error
	}{{"a b", "", ErrRoomName}, {"a", "{", ErrInfo}, {"a", "1\n2", ErrInfo}, {"a", `"` + strings.Repeat("x", InfoMax) + `"`, ErrInfo}} {
		p := Placement{}
		if bad.info != "" {
			p.Info = []byte(bad.info)
		}
		if _, err := s.Subscribe(t.Context(), id, "", bad.room, p); !errors.Is(err, bad.want) {
			t.Errorf("%q %.20q: %v", bad.room, bad.info, err)
		}
		if _, err := s.SubscribeSubject(t.Context(), "bob", bad.room, p); !errors.Is(err, bad.want) {
			t.Errorf("%q %.20q: %v", bad.room, bad.info, err)
		}
	}
	if _, err := s.Subscribe(t.Context(), "0.ffff", "", "a", Placement{}); !errors.Is(err, ErrNoConnection) {
		t.Errorf("nobody: %v", err)
	}
}

// In a cluster what the room keeps may have to come first; if it cannot be had, that is what a
// backend is told.
func TestBackendBringsClientsIntoRoomsOfACluster(t *testing.T) {
	cluster := newScripted()
	s, addr, _ := startWithPasses(t, false, func(cfg *config) {
		cfg.PingInterval = 25 * time.Second
		cfg.History = keeping().History
		cfg.Cluster = cluster.of(nil)
		cfg.ClusterTimeout = 200 * time.Millisecond
	})
	ann := dialPeer(t, addr, nil)
	ann.say(`{"id":1,"connect":{"token":"sub:ann"}}`)
	ann.hear(`{"id":1,"connect":{` + welcomed + `}}`)
	cluster.set(func() { cluster.isDown = true })
	if _, err := s.SubscribeSubject(t.Context(), "ann", "kept.a", Placement{}); !errors.Is(err, ErrUnfilled) {
		t.Errorf("without the cluster: %v", err)
	}
	cluster.set(func() { cluster.isDown = false })
	if _, err := s.SubscribeSubject(t.Context(), "ann", "kept.b", Placement{}); err != nil {
		t.Fatal(err)
	}
	ann.expect(`{"push":{"channel":"kept.b","subscribe":{}}}`)
}

// A subscription that a backend gives for a while ends with it.
func TestPlacementThatExpiresEnds(t *testing.T) {
	t.Parallel()
	s, addr, wall := startWithPasses(t, false, func(cfg *config) { cfg.expiryGrace = time.Millisecond })
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann"}}`)
	p.next()
	if _, err := s.SubscribeSubject(t.Context(), "ann", "a", Placement{Expires: wall.Load()/1000 + 1}); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"push":{"channel":"a","subscribe":{}}}`, `{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
	testenv.Eventually(t, "the room is empty", func() bool { _, isThere := s.Room("a"); return !isThere })
}

// What a backend says of a client's time counts in place of its token's: longer, shorter, for ever,
// over.
func TestBackendSetsWhenClientsExpire(t *testing.T) {
	s, addr, wall := startWithPasses(t, false, func(cfg *config) {
		cfg.expiryGrace = time.Millisecond
		cfg.Anonymous = []Grant{{[]string{"*"}, Read}}
	})
	now := wall.Load() / 1000
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann exp:1"}}`)
	p.next()
	raw := wstest.Join(t, addr, "/ws/a?token=sub:ann%20exp:1%20may:*=read")
	refresh := func(expires int64, want string) {
		t.Helper()
		if n, err := s.RefreshSubject(t.Context(), "ann", expires); n.Clients != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		p.expect(`{"push":{"refresh":` + want + `}}`)
	}
	refresh(now+100, `{"expires":true,"ttl":100}`)
	wall.Add(50_000) // Their tokens are over.
	refresh(0, `{}`)
	wall.Add(100_000)
	if _, err := s.Publish("a", Message{Data: []byte("on")}); err != nil {
		t.Fatal(err)
	}
	raw.ExpectFrame(1, "on")
	refresh(1<<62, fmt.Sprintf(`{"expires":true,"ttl":%d}`, 1<<31-1))
	if n, err := s.RefreshSubject(t.Context(), "ann", now+150); n.Clients != 2 || err != nil { // It is that now.
		t.Fatalf("%d, %v", n, err)
	}
	raw.ExpectClose(4001)
	p.expectClose(3005, "connection expired")
	if n, err := s.RefreshSubject(t.Context(), "", 1); n.Clients != 0 || err != nil {
		t.Errorf("%d who have no name, %v", n, err)
	}
	if _, err := s.Refresh(t.Context(), "0.ffff", "", 1); !errors.Is(err, ErrNoConnection) {
		t.Errorf("nobody: %v", err)
	}
}
