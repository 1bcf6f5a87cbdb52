package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// holdLoops keeps every loop busy until it is told to let go.
func holdLoops(t *testing.T, s *Server) (release func()) {
	t.Helper()
	held, free := make(chan struct{}), make(chan struct{})
	for _, w := range s.workers {
		if err := post(t.Context(), w.loop, func(*reactor.Loop) { held <- struct{}{}; <-free }); err != nil {
			t.Fatal(err)
		}
		<-held
	}
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	return release
}

// P01. A publisher outside of all loops is told how many clients its message is for, before any of
// them has it.
func TestP01_ProgramPublishesFromAnyGoroutine(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	a, b := wstest.Dial(t, addr, "/ws/r"), wstest.Dial(t, addr, "/ws/r")
	release := holdLoops(t, s)
	for i := range 3 {
		if n, err := s.Publish("r", Message{Data: fmt.Append(nil, i)}); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if n, err := s.Publish("nobody", Message{}); n != 0 || err != nil || s.hub.Rooms() != 1 {
		t.Errorf("%d, %v, and %d rooms", n, err, s.hub.Rooms())
	}
	release()
	for i := range 3 {
		wstest.ExpectText(t, a, fmt.Sprint(i))
		wstest.ExpectText(t, b, fmt.Sprint(i))
	}
	for _, one := range []struct {
		room string
		m    Message
		want error
	}{
		{"", Message{}, ErrRoomName},
		{"a/b", Message{}, ErrRoomName},
		{strings.Repeat("x", 129), Message{}, ErrRoomName},
		{"r", Message{Data: []byte("\xff")}, ErrNotUTF8},
		{"r", Message{Data: make([]byte, 1<<20+1), IsBinary: true}, ErrTooLarge},
	} {
		if n, err := s.Publish(one.room, one.m); n != 0 || !errors.Is(err, one.want) {
			t.Errorf("%q: %d, %v, want %v", one.room, n, err, one.want)
		}
	}
	if st := testenv.StatsOf(t, s); st.Published != 4 || st.Messages != 0 {
		t.Errorf("%d published, %d received", st.Published, st.Messages)
	}
	s.Close()
	if n, err := s.Publish("r", Message{}); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
}

// It does not wait for a full room: what was taken arrives whole, what was not is told.
func TestPublisherOfAFullRoomIsToldSo(t *testing.T) {
	cfg := testConfig()
	cfg.PublishWindow = 64 << 10
	s, addr := startGateway(t, cfg)
	reader := wstest.Dial(t, addr, "/ws/r")
	release := holdLoops(t, s)
	taken := 0
	text := func(i int) string { return fmt.Sprintf("%06d%s", i, strings.Repeat("x", 1<<10)) }
	for {
		n, err := s.Publish("r", Message{Data: []byte(text(taken))})
		if errors.Is(err, ErrRoomFull) && n == 0 {
			break
		}
		if taken++; n != 1 || err != nil || taken > 100 {
			t.Fatalf("message %d: %d, %v", taken, n, err)
		}
	}
	if _, err := s.Publish("other", Message{}); err != nil {
		t.Errorf("another room: %v", err)
	}
	release()
	testenv.Eventually(t, "the room takes messages again", func() bool {
		_, err := s.Publish("r", Message{Data: []byte("end")})
		return err == nil
	})
	for i := range taken {
		wstest.ExpectText(t, reader, text(i))
	}
	wstest.ExpectText(t, reader, "end")
}

// Deflating is counted, whoever does it, and is done once for a room.
func TestPublishedMessagesAreDeflatedOnce(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	var all []*websocket.Conn
	for range 3 {
		c, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/ws/r", &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		all = append(all, c)
	}
	text := strings.Repeat("once for all ", 200)
	for range 2 {
		if _, err := s.Publish("r", Message{Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			wstest.ExpectText(t, c, text)
		}
	}
	if st := testenv.StatsOf(t, s); st.Deflated != 2 || st.DeflatedFrom != 2*uint64(len(text)) || st.DeflatedTo == 0 {
		t.Errorf("deflated %d, %d bytes to %d", st.Deflated, st.DeflatedFrom, st.DeflatedTo)
	}
}

// N24. Whoever publishes, joins, leaves and cuts meanwhile: every message that was owed became
// something. startGateway holds the closed gateway to that.
func TestN24_AccountsHoldWithPublishersFromOutside(t *testing.T) {
	cfg := testConfig()
	cfg.PublishWindow, cfg.RoomBacklog = 64<<10, 2<<20
	s, addr := startGateway(t, cfg)
	rooms := []string{"a", "b", "c"}
	var publishers sync.WaitGroup
	for i := range 3 {
		publishers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for {
				_, err := s.Publish(rooms[random.IntN(len(rooms))], Message{Data: make([]byte, random.IntN(3000)), IsBinary: true})
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, ErrRoomFull) && !errors.Is(err, ErrMemory) {
					t.Errorf("published: %v", err)
					return
				}
			}
		})
	}
	for i := range 12 {
		c := wstest.Join(t, addr, "/ws/"+rooms[i%len(rooms)])
		for range i {
			c.Frame()
		}
		if i%2 == 0 {
			c.Reset()
		}
		c.Close()
	}
	last := []*wstest.Client{wstest.Join(t, addr, "/ws/a"), wstest.Join(t, addr, "/ws/b")}
	last[0].Frame()
	s.Close() // While all of them publish.
	publishers.Wait()
	if st := testenv.StatsOf(t, s); st.Hub.Owed == 0 || st.Published == 0 {
		t.Errorf("%+v", st.Hub)
	}
}

// Rooms that are read-only are fed by programs, and by keys that are for them.
func TestReadOnlyRoomsAreFedFromOutside(t *testing.T) {
	cfg := testConfig()
	cfg.Rooms = []RoomRule{{Pattern: "ticker.*", ReadOnly: true}}
	s, addr := startGateway(t, cfg)
	c := wstest.Dial(t, addr, "/ws/ticker.a")
	if n, err := s.Publish("ticker.a", Message{Data: []byte("1")}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wstest.ExpectText(t, c, "1")
	all, some := &Principal{Kind: KindKey}, &Principal{Kind: KindKey, Grants: []Grant{{Rooms: []string{"ticker.*"}, May: Publish}}}
	for _, one := range []struct {
		who  *Principal
		room string
		want bool
	}{
		{all, "ticker.a", true},
		{all, "lobby", true},
		{some, "ticker.a", true},
		{some, "lobby", false},
		{&Principal{Grants: some.Grants}, "ticker.a", false},
	} {
		if got := s.Allows(one.who, one.room, Publish); got != one.want {
			t.Errorf("%v in %s: %t", one.who, one.room, got)
		}
	}
}

// Publishing costs the log's memory and nothing beside it.
func TestPublishingFromOutsideAllocatesNothing(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("pools forget things under the race detector")
	}
	cfg := testConfig()
	cfg.PublishWindow = cfg.RoomBacklog
	s, addr := startGateway(t, cfg)
	c := wstest.Dial(t, addr, "/ws/r")
	m := Message{Data: []byte("as good as nothing")}
	const times = 5000
	allocs := testing.AllocsPerRun(times, func() {
		if n, err := s.Publish("r", m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for each message", allocs)
	}
	for range times + 1 {
		wstest.ExpectText(t, c, string(m.Data))
	}
}
