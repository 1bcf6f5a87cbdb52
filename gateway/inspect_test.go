package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// Who is slow, how far and for how long; the others are counted.
func TestConnectionsTellWhoIsBehind(t *testing.T) {
	cfg := testConfig()
	cfg.PublishWindow = cfg.RoomBacklog
	cfg.walkTime = 1 // Some of them in each tick.
	s, addr := startGateway(t, cfg)
	const quick, published = 150, 400 // less than half of the backlog: nobody is near being overrun
	for range quick {
		wstest.Join(t, addr, "/ws/other")
	}
	slow := []*wstest.Client{wstest.Join(t, addr, "/ws/r").Narrow(), wstest.Join(t, addr, "/ws/r").Narrow()}
	speaker := wstest.Join(t, addr, "/ws/r?echo=0")
	message := Message{Data: make([]byte, 16<<10), IsBinary: true}
	for range published {
		if _, err := s.Publish("r", message); err != nil {
			t.Fatal(err)
		}
	}
	var conns []ConnInfo
	testenv.Eventually(t, "both are blocked", func() bool {
		all, total, err := s.Connections(t.Context(), ConnQuery{ByLag: true, Limit: 3})
		if err != nil || total != quick+3 || len(all) != 3 {
			t.Fatalf("%d of %d, %v", len(all), total, err)
		}
		conns = all
		return all[0].IsBlocked && all[1].IsBlocked && all[1].Lag.Age > 0
	})
	for _, c := range conns[:2] {
		if c.Room != "r" || c.Address != "127.0.0.1" || c.Lag.Bytes < 1<<20 || c.Lag.Messages == 0 || c.Lag.Messages > published || c.IsSpeaker {
			t.Errorf("%+v", c)
		}
	}
	if c := conns[2]; c.Lag.Bytes != 0 || c.IsBlocked {
		t.Errorf("%+v", c)
	}
	in, total, err := s.Connections(t.Context(), ConnQuery{Room: "r", Limit: 10})
	if err != nil || total != 3 || len(in) != 3 || !slices.ContainsFunc(in, func(c ConnInfo) bool { return c.IsSpeaker }) {
		t.Errorf("%+v of %d, %v", in, total, err)
	}
	one, err := s.Connection(t.Context(), conns[0].ID)
	if err != nil || one.ID != conns[0].ID || !one.IsBlocked {
		t.Errorf("%+v, %v", one, err)
	}
	room, ok := s.Room("r")
	if !ok || room.Members != 2 || room.Blocked != 2 || room.Speakers != 1 || room.Messages != published || room.Backlog == 0 || room.Account.Owed != 2*published {
		t.Errorf("%+v, %t", room, ok)
	}
	rooms, total := s.Rooms(RoomQuery{Less: ByMemory, Limit: 1})
	if total != 2 || rooms[0].Name != "r" {
		t.Errorf("%+v of %d", rooms, total)
	}
	_, _ = slow, speaker
}

// What is asked of loops that do not answer ends with the time there is for it, and may be asked
// again.
func TestAskingLoopsHasADeadline(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := wstest.Join(t, addr, "/ws/r")
	conns, _, err := s.Connections(t.Context(), ConnQuery{Limit: 1})
	if err != nil || len(conns) != 1 {
		t.Fatal(conns, err)
	}
	release := holdLoops(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := s.Connections(ctx, ConnQuery{Limit: 1}); !errors.Is(err, ErrBusy) {
		t.Errorf("all: %v", err)
	}
	if _, err := s.Connection(ctx, conns[0].ID); !errors.Is(err, ErrBusy) {
		t.Errorf("one: %v", err)
	}
	if _, err := s.DisconnectRoom(ctx, "r", Farewell{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a room: %v", err)
	}
	release()
	if n, err := s.DisconnectRoom(t.Context(), "r", Farewell{}); n.Clients > 1 || err != nil { // The one that was late may have done it.
		t.Errorf("%d, %v", n, err)
	}
	c.ExpectClose(4012)
	s.Close()
	if _, _, err := s.Connections(t.Context(), ConnQuery{Limit: 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := s.Disconnect(t.Context(), conns[0].ID, "", Farewell{}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Before Serve nobody is there, and nobody is waited for.
func TestAskingBeforeServe(t *testing.T) {
	s, err := New(Options{Loops: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Connections(t.Context(), ConnQuery{}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if n, err := s.Publish("r", Message{}); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// A9: what an operator takes back ends; the log and the API name a connection alike.
func TestA09_OperatorDisconnects(t *testing.T) {
	log := new(journal)
	s, addr := startGatewayLogging(t, testConfig(), nil, log)
	var all []*wstest.Client
	for range 30 {
		all = append(all, wstest.Join(t, addr, "/ws/secret"))
	}
	other := wstest.Dial(t, addr, "/ws/other")
	for _, bad := range []Farewell{{Code: 1000}, {Code: 2999}, {Code: 5000}, {Code: -1}, {Reason: strings.Repeat("x", 124)}, {Reason: "\xff"}} {
		if _, err := s.DisconnectRoom(t.Context(), "secret", bad); !errors.Is(err, ErrFarewell) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if n, err := s.DisconnectRoom(t.Context(), "secret", Farewell{Code: 4403, Reason: "access was taken back"}); n.Clients != 30 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, c := range all {
		f := c.Frame()
		if code, reason := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != 4403 || reason != "access was taken back" {
			t.Errorf("%v %d %q", f.Header.OpCode, code, reason)
		}
		c.Close()
	}
	expectClosed(t, s, ClosedByOperator, 30)
	if _, err := s.Publish("other", Message{Data: []byte("still here")}); err != nil {
		t.Error(err)
	}
	wstest.ExpectText(t, other, "still here")
	bad := wstest.Join(t, addr, "/ws/r")
	conns, _, err := s.Connections(t.Context(), ConnQuery{Room: "r", Limit: 1})
	if err != nil || len(conns) != 1 {
		t.Fatal(conns, err)
	}
	bad.Send([]byte{0x81, 0x00}) // not masked
	bad.ExpectClose(1002)
	testenv.Eventually(t, "a line with its id", func() bool { return len(log.lines("id="+conns[0].ID+" ")) > 0 })
}

// A message to one client has no place among its room's, and does not pile up for one that does not
// read.
func TestMessagesToOneClient(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	a, b := wstest.Dial(t, addr, "/ws/r"), wstest.Dial(t, addr, "/ws/r")
	stuck := wstest.Join(t, addr, "/ws/stuck").Narrow()
	conns, _, err := s.Connections(t.Context(), ConnQuery{Limit: 10})
	if err != nil || len(conns) != 3 {
		t.Fatal(conns, err)
	}
	for _, c := range conns {
		if c.Room == "r" {
			for range 2 {
				if err := s.Send(t.Context(), c.ID, Message{Data: []byte("to " + c.ID)}); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		refused := false
		for range 200 {
			err := s.Send(t.Context(), c.ID, Message{Data: make([]byte, 1<<20), IsBinary: true})
			if refused = errors.Is(err, ErrOutboxFull); refused {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !refused {
			t.Error("200 MiB wait for a client that does not read")
		}
	}
	if _, err := s.Publish("r", Message{Data: []byte("to all")}); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, c := range []*websocket.Conn{a, b} {
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
			_, p, err := c.Read(ctx)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			got[string(p)]++
		}
	}
	if len(got) != 3 || got["to all"] != 2 {
		t.Errorf("%v", got)
	}
	for _, bad := range []Message{{Data: []byte("\xff")}, {Data: make([]byte, 1<<20+1)}} {
		if err := s.Send(t.Context(), conns[0].ID, bad); err == nil {
			t.Error("it was taken")
		}
	}
	for _, id := range []string{"", ".", "0", "0.", "0.0", "7.1", "-1.1", "0.1.1", "x.y", "0.ffffffffffffffff", "0.10000000000000000"} {
		if err := s.Send(t.Context(), id, Message{}); !errors.Is(err, ErrNoConnection) {
			t.Errorf("%q: %v", id, err)
		}
	}
	stuck.Close()
}

// A pong behind a message to one client takes the place of no byte of it.
func TestPongsDoNotReplaceMessagesToOneClient(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := wstest.Join(t, addr, "/ws/r").Narrow()
	conns, _, err := s.Connections(t.Context(), ConnQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; ; sent++ {
		c.Send(wstest.MaskedPing(fmt.Sprint(sent)))
		if err := s.Send(t.Context(), conns[0].ID, Message{Data: make([]byte, 32<<10), IsBinary: true}); errors.Is(err, ErrOutboxFull) {
			break
		} else if err != nil || sent > 2000 {
			t.Fatal(sent, err)
		}
	}
	for range 10 {
		c.Send(wstest.MaskedPing("last"))
	}
	messages := 0
	for {
		f := c.Frame()
		if f.Header.OpCode == ws.OpBinary {
			if messages++; len(f.Payload) != 32<<10 {
				t.Fatalf("%d bytes", len(f.Payload))
			}
		} else if string(f.Payload) == "last" {
			break
		}
	}
	if messages != sent {
		t.Errorf("%d of %d messages came", messages, sent)
	}
}
