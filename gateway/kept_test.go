package gateway

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// Publishing says where in its room's history a message stands, and what is kept can be read a page
// at a time, by position, by number or from the oldest, and be removed.
func TestKeptMessagesAreReadAPageAtATime(t *testing.T) {
	s, _ := startGateway(t, historyConfig())
	var at []hub.Position
	for i := range 5 {
		p, err := s.PublishAt("h", Message{Data: fmt.Append(nil, i), IsBinary: i == 3})
		if err != nil || p.Epoch == "" || p.Offset != uint64(i+1) || p.Members != 0 {
			t.Fatalf("%+v, %v", p, err)
		}
		at = append(at, p.Position)
	}
	if p, err := s.PublishAt("other", Message{Data: []byte("x")}); err != nil || p != (hub.Published{}) {
		t.Errorf("%+v, %v", p, err)
	}
	read := func(room string, start hub.Start, limit int) (texts string, page KeptPage) {
		t.Helper()
		page, err := s.Kept(t.Context(), room, start, limit, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			if texts += string(m.Data); m.IsBinary != (string(m.Data) == "3") || time.Since(time.UnixMilli(m.Millis)) > time.Hour || m.Offset != uint64(m.Data[0]-'0')+1 {
				t.Errorf("%+v", m)
			}
		}
		return texts, page
	}
	for _, one := range []struct {
		start  hub.Start
		limit  int
		want   string
		next   hub.Position
		more   bool
		answer hub.Answer
	}{
		{hub.Start{}, 10, "01234", at[4], false, hub.Recovered},
		{hub.Start{}, 2, "01", at[1], true, hub.Recovered},
		{hub.Start{Since: at[1]}, 2, "23", at[3], true, hub.Recovered},
		{hub.Start{Since: at[3]}, 2, "4", at[4], false, hub.Recovered},
		{hub.Start{Since: at[4]}, 2, "", at[4], false, hub.Recovered},
		{hub.Start{Last: 2}, 10, "34", at[4], false, hub.Recovered},
		{hub.Start{Last: 100}, 1, "0", at[0], true, hub.Recovered},
		{hub.Start{Since: hub.Position{Epoch: "another", Offset: 1}}, 10, "", at[4], false, hub.WrongEpoch},
		{hub.Start{Since: hub.Position{Epoch: at[0].Epoch, Offset: 6}}, 10, "", at[4], false, hub.BeyondEnd},
	} {
		texts, page := read("h", one.start, one.limit)
		if texts != one.want || page.Answer != one.answer || page.HasMore != one.more || page.End != at[4] || page.Answer == hub.Recovered && page.Position != one.next {
			t.Errorf("%+v, %d: %q %+v", one.start, one.limit, texts, page)
		}
	}
	if page, err := s.Kept(t.Context(), "h", hub.Start{}, 10, 1); err != nil || len(page.Messages) != 1 || !page.HasMore {
		t.Errorf("%+v, %v", page, err)
	}
	if _, page := read("hnone", hub.Start{Since: at[0]}, 1); page.Answer != hub.WrongEpoch || page.End != (hub.Position{}) {
		t.Errorf("%+v", page)
	}
	if _, page := read("hnone", hub.Start{Last: 3}, 1); page.Answer != hub.Recovered || page.End != (hub.Position{}) {
		t.Errorf("%+v", page)
	}
	if err := s.RemoveKept("h"); err != nil {
		t.Fatal(err)
	}
	if texts, page := read("h", hub.Start{}, 10); texts != "" || page.End != at[4] {
		t.Errorf("%q %+v", texts, page)
	}
	if _, page := read("h", hub.Start{Since: at[3]}, 10); page.Answer != hub.TooOld {
		t.Errorf("%+v", page)
	}
	for room, want := range map[string]error{"other": ErrNoHistory, "a/b": ErrRoomName} {
		if _, err := s.Kept(t.Context(), room, hub.Start{}, 1, 1); !errors.Is(err, want) {
			t.Errorf("%s: %v", room, err)
		}
		if err := s.RemoveKept(room); !errors.Is(err, want) {
			t.Errorf("%s: %v", room, err)
		}
	}
}

// Attackers who ask for all that many rooms keep, each in both encodings, and read nothing, cost no
// more than --history-memory, beside what their sockets take; histories are made for them in turn,
// rooms go on, and whoever reads is served.
func TestAttackersWhoAskForAllThatIsKeptAreBounded(t *testing.T) {
	const rooms, size, each = 24, 16 << 10, 40
	cfg := testConfig()
	cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = 64<<10, 1<<20, 1<<20
	cfg.History = []HistoryRule{{Pattern: "h*", Bytes: 512 << 10}}
	cfg.HistoryMemory = 4 << 20 // of 12 MiB that rules would let rooms keep, and as much in each encoding
	s, addr := startGateway(t, cfg)
	most := int64(0)
	publish := func(n int) {
		for i := range n {
			for r := range rooms {
				text := wstest.Message(uint64(i), size)
				if _, err := s.Publish(fmt.Sprintf("h%d", r), Message{Data: text, IsBinary: true}); err != nil && !errors.Is(err, ErrMemory) && !errors.Is(err, ErrRoomFull) {
					t.Fatal(err)
				}
				most = max(most, s.hub.Histories().Memory)
			}
		}
	}
	publish(each)
	for r := range rooms {
		for _, header := range []string{"X: y", "Sec-WebSocket-Extensions: permessage-deflate"} {
			c := wstest.Connect(t, addr).Narrow()
			c.Send(wstest.UpgradeHead(fmt.Sprintf("/ws/h%d?last=all", r), header))
		}
	}
	testenv.Eventually(t, "all are in their rooms", func() bool {
		st := testenv.StatsOf(t, s)
		return st.Upgrades+st.Refusals[wsproto.ReasonHistory] == 2*rooms
	})
	publish(each)
	if allowed := cfg.HistoryMemory + 4*cfg.RoomBacklog/16; most > allowed { // a few segments that are on their way
		t.Errorf("%d bytes of memory, %d are allowed", most, allowed)
	}
	reader := dialLast(t, addr, "/ws/h0?last=1", false)
	if kind, p, err := reader.ReadMessage(); err != nil || kind != gorilla.BinaryMessage || len(p) != size {
		t.Errorf("%d bytes, %v", len(p), err)
	}
	quiet := wstest.Join(t, addr, "/ws/quiet", wstest.MaskedText("a"))
	quiet.ExpectFrame(0x1, "a")
	t.Logf("%d bytes at most of %d; %+v", most, cfg.HistoryMemory, s.hub.Histories())
}

// A reload gives rooms that keep something other bounds at once. A gateway without any rule gets
// its first one with a restart.
func TestHistoryFollowsItsRulesWhenTheyAreReloaded(t *testing.T) {
	cfg := historyConfig()
	o := cfg.Options
	s, _ := startGateway(t, cfg)
	mustPublish(t, s, "h", "one", "two", "three")
	kept := func() int {
		page, err := s.Kept(t.Context(), "h", hub.Start{}, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Messages)
	}
	o.History = []HistoryRule{{Pattern: "h", Messages: 2}}
	if needs, err := s.Reload(o); err != nil || len(needs) > 0 || kept() != 2 {
		t.Errorf("%v, %v; %d are kept", needs, err, kept())
	}
	o.HistoryMemory = 1 << 30
	if needs, err := s.Reload(o); err != nil || len(needs) != 1 || needs[0] != "HistoryMemory" {
		t.Errorf("%v, %v", needs, err)
	}
	o.History = []HistoryRule{{Pattern: "h", Bytes: -1}}
	if _, err := s.Reload(o); err == nil || kept() != 2 {
		t.Errorf("%v; %d are kept", err, kept())
	}

	none := testConfig()
	o = none.Options
	s, _ = startGateway(t, none)
	o.History = []HistoryRule{{Pattern: "h"}}
	if needs, err := s.Reload(o); err != nil || len(needs) != 1 || needs[0] != "History" {
		t.Errorf("%v, %v", needs, err)
	}
	if _, err := s.Kept(t.Context(), "h", hub.Start{}, 1, 1); !errors.Is(err, ErrNoHistory) {
		t.Errorf("%v", err)
	}
}
