package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// N24. Readers are overrun, each in the middle of a frame that is larger than what their kernel
// takes, and read again. What gorilla's client and coder's got whole is what was delivered, to a
// message: the frame whose rest came from a copy counts as well. Package hub's account_test.go
// lists the relatives, and the simulation holds every seed to its accounts.
func TestN24_DeliveriesAreTheMessagesThatClientsGotWhole(t *testing.T) {
	t.Parallel()
	const size, readers = 600 << 10, 5
	for _, policy := range []hub.Policy{hub.Disconnect, hub.Skip, hub.Latest} {
		t.Run(policy.String(), func(t *testing.T) {
			cfg := testConfig()
			cfg.RoomBacklog = 4 << 20
			cfg.SlowPolicy = policy
			cfg.CloseTimeout = time.Hour
			s, addr := startGateway(t, cfg)
			var slow []*gorilla.Conn
			for range readers {
				slow = append(slow, dialNarrow(t, addr, "/ws/r"))
			}
			others := wstest.Gather(t, addr, "/ws/r", readers+1, size)
			isOverrun := func() bool { return testenv.StatsOf(t, s).Hub.Overrun[policy] >= readers }
			for range 30 { // Several backlogs, or three messages more than it takes.
				others.Publish(1)
				others.HearAll()
				if isOverrun() {
					break
				}
			}
			others.Publish(3)
			others.HearAll()
			testenv.Eventually(t, "all slow readers are overrun", isOverrun)
			whole := (readers + 1) * others.Sent
			for _, c := range slow {
				whole += readToTheEnd(t, c, others.Sent, size)
			}
			testenv.Eventually(t, fmt.Sprintf("%d deliveries", whole), func() bool {
				st := testenv.StatsOf(t, s)
				if st.Deliveries != whole {
					t.Logf("clients got %d messages whole, %d deliveries are counted", whole, st.Deliveries)
				}
				return st.Deliveries == whole
			})
		})
	}
}

// readToTheEnd reads until the last message that was sent, or the Close frame of a slow consumer,
// and returns how many came whole.
func readToTheEnd(t *testing.T, c *gorilla.Conn, sent uint64, size int) (whole uint64) {
	t.Helper()
	for {
		c.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, p, err := c.ReadMessage()
		if closed := new(gorilla.CloseError); errors.As(err, &closed) && closed.Code == 4008 {
			return whole
		}
		if err != nil || len(p) != size {
			t.Fatalf("after %d messages one of %d bytes: %v", whole, len(p), err)
		}
		if whole++; wstest.IsMessage(p, sent-1, size) {
			return whole
		}
	}
}

// While a gateway runs, what each room still owes is what its members have yet to get, whichever
// loops they are on. When all have left, some of them inside a frame, it owes nothing. A gateway
// that is closed ends whoever is there.
func TestN24_WhatIsDueOfARoomIsWhatItsMembersHaveYetToGet(t *testing.T) {
	t.Parallel()
	const size, published = 4 << 10, 2000
	cfg := testConfig()
	cfg.PublishWindow = cfg.RoomBacklog // Nobody is held by those that do not read.
	s, addr := startGateway(t, cfg)
	var all []*wstest.Crowd
	var slow []*wstest.Client
	var rooms []*hub.Room
	for i := range 3 {
		path := fmt.Sprintf("/ws/r%d", i)
		for range i {
			slow = append(slow, wstest.Join(t, addr, path).Narrow())
		}
		all = append(all, wstest.Gather(t, addr, path, 2, size))
		room, _ := s.hub.Room(fmt.Sprintf("r%d", i))
		rooms = append(rooms, room)
	}
	for _, others := range all {
		others.Publish(published)
		others.HearAll()
	}
	for i, room := range rooms {
		testenv.Eventually(t, "what is due is what members lag", func() bool {
			a, lag := room.Account(), lagsIn(t, s, room)
			// A few messages fit into the kernels of a member that does not read.
			return a.Owed == published*uint64(2+i) && a.Due() == lag && lag >= uint64(i)*published/2
		})
	}
	for _, c := range slow {
		c.Close()
	}
	testenv.Eventually(t, "those who left are owed nothing", func() bool {
		for _, room := range rooms {
			if a := room.Account(); a.Due() != 0 {
				return false
			}
		}
		return true
	})
	if st := testenv.StatsOf(t, s); st.Hub.Ended < 3*published/2 || st.Hub.Skipped != 0 {
		t.Errorf("three members left early: %+v", st.Hub.Account)
	}
}

// A gateway that is closed ends whoever is there, and its last figures say so: of what its clients
// were owed nothing is unaccounted for.
func TestN24_ClosedGatewayHasCutWhoeverWasThere(t *testing.T) {
	const size, published = 4 << 10, 1000
	cfg := testConfig()
	cfg.PublishWindow = cfg.RoomBacklog // It is not held by the other, nor by itself.
	s, addr := startGateway(t, cfg)
	wstest.Join(t, addr, "/ws/r").Narrow()
	a := wstest.Join(t, addr, "/ws/r")
	for range published {
		a.Send(wstest.MaskedBinary(string(make([]byte, size))))
	}
	testenv.Eventually(t, "all is published", func() bool { return testenv.StatsOf(t, s).Hub.Owed == 2*published })
	before := testenv.StatsOf(t, s).Hub.Account
	s.Close()
	st, err := s.Stats(context.Background())
	if err != nil || st.Closed[ClosedCut] != 2 || before.Due() < published/2 || st.Hub.Due() != 0 || st.Hub.Ended < published/2 {
		t.Errorf("%d were cut, want 2; before %+v, afterwards %+v, %v", st.Closed[ClosedCut], before, st.Hub.Account, err)
	}
}

// lagsIn sums up how many messages the room's members are behind, each as its own loop sees it.
func lagsIn(t *testing.T, s *Server, room *hub.Room) (sum uint64) {
	t.Helper()
	for _, w := range s.workers {
		done := make(chan struct{})
		if err := post(t.Context(), w.loop, func(*reactor.Loop) {
			defer close(done)
			for _, source := range w.loop.Sources {
				if c, ok := source.(*conn); ok && c.reader.IsIn() && c.reader.Room() == room {
					sum += c.reader.Lag(w.loop.Now()).Messages
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	return sum
}
