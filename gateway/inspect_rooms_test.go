package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A client of the protocol is found by each of its rooms, and of each it is told how far it is
// behind there.
func TestConnectionsTellOfEachRoomOfASubscriber(t *testing.T) {
	t.Parallel()
	s, addr := startGateway(t, slowly(hub.Skip))
	rooms := []string{"far", "near"}
	for i := range 20 {
		rooms = append(rooms, fmt.Sprintf("quiet.%02d", i))
	}
	var commands []string
	for i, room := range rooms {
		commands = append(commands, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q}}`, i+2, room))
	}
	slow := dialSlow(t, addr, commands...)
	wstest.Join(t, addr, "/ws/near").Narrow()
	publish := func(room string, size int) {
		testenv.Eventually(t, room+" is not full", func() bool { // Whoever stalls is not waited for long.
			_, err := s.Publish(room, Message{Data: []byte(strings.Repeat("x", size))})
			if err != nil && !errors.Is(err, ErrRoomFull) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	list := func(q ConnQuery) []ConnInfo {
		conns, total, err := s.Connections(t.Context(), q)
		if err != nil || total != len(conns) {
			t.Fatalf("%d of %d, %v", len(conns), total, err)
		}
		return conns
	}
	large, looks := []byte(strings.Repeat("x", 32<<10)), 0
	testenv.Eventually(t, "it takes no more", func() bool {
		if list(ConnQuery{Room: "far", Limit: 1})[0].Rooms[0].IsBlocked {
			looks++ // What is on its way in the kernel may make room once more.
			return looks == 20
		}
		looks = 0
		_, _ = s.Publish("far", Message{Data: large}) // While the room is full there is more to take.
		return false
	})
	publish("far", 1000)
	publish("near", 1000)
	testenv.Eventually(t, "it has yet to get what is near", func() bool { return list(ConnQuery{Room: "near", Limit: 2, ByLag: true})[0].Lag.Bytes > 0 })
	for _, room := range rooms {
		conns := list(ConnQuery{Room: room, ByLag: true, Limit: 10})
		c := conns[0]
		if c.Room != "" || c.Subscriptions != len(rooms) || len(c.Rooms) != 1 || c.Rooms[0].Room != room || !c.IsBlocked {
			t.Errorf("%s: %+v", room, c)
		}
		if isBehind := c.Rooms[0].Lag.Bytes > 0; isBehind != (room == "far" || room == "near") {
			t.Errorf("%s: %+v", room, c)
		}
	}
	all := list(ConnQuery{ByLag: true, Limit: 10})
	c := all[0]
	if len(c.Rooms) != RoomsShown || c.Subscriptions != len(rooms) || c.Rooms[0].Room != "far" || c.Rooms[1].Room != "near" || c.Rooms[2].Room != "quiet.00" {
		t.Errorf("%+v", c)
	}
	if far, near := c.Rooms[0].Lag, c.Rooms[1].Lag; c.Lag.Bytes != far.Bytes+near.Bytes || c.Lag.Messages != far.Messages+near.Messages || near.Messages != 1 {
		t.Errorf("%+v", c)
	}
	if c := all[1]; c.Room != "near" || c.Subscriptions != 0 || c.Rooms != nil {
		t.Errorf("%+v", c)
	}
	one, err := s.Connection(t.Context(), c.ID)
	if err != nil || len(one.Rooms) != len(rooms) || !slices.IsSortedFunc(one.Rooms, func(a, b RoomLag) int { return compareRoomLags(&a, &b) }) {
		t.Errorf("%+v, %v", one, err)
	}
	if all := list(ConnQuery{Room: "nobody", Limit: 10}); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	_ = slow
}
