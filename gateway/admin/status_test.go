package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// What the page is made of says what the gateway does, and asks it no more often than it should.
func TestStatusTellsWhatTheGatewayDoes(t *testing.T) {
	tail := NewTail(slog.NewTextHandler(io.Discard, nil))
	_, addr, base, key := startPage(t, gatewaytest.Options(), tail)
	slog.New(tail).Info("refused", "reason", "origin", "from", "192.0.2.7")
	slog.New(tail).With("a", 1).WithGroup("g").Warn("short", "b", 2)
	slog.New(tail).Debug("not this")
	narrow := wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 2, 64<<10)
	others.Publish(30)
	others.HearAll()
	var got status
	v := &visitor{t, base, nil}
	testenv.Eventually(t, "one is behind", func() bool {
		code, body, _ := v.do("GET", "/status.json", nil, "Authorization", "Bearer "+key)
		got = status{}
		if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil {
			t.Fatalf("%d, %v: %s", code, err, body)
		}
		return len(got.Slowest) == 1
	})
	if got.Ready != "ok" || got.Version != "v9.9" || !got.Login || got.Now["members"] != 3 || got.Now["blocked"] != 1 || got.Now["rooms"] != 1 ||
		got.Totals["received"] != 30 || got.Totals["owed"] != 30*3 || len(got.Loops) != 2 {
		t.Errorf("%+v", got)
	}
	if c := got.Slowest[0]; c.Room != "stage" || c.Bytes < 1<<19 || c.Messages == 0 || c.Address != "127.0.0.1" || c.ID == "" {
		t.Errorf("%+v", c)
	}
	if r := got.Rooms; len(r) != 1 || r[0].Name != "stage" || r[0].Messages != 30 || r[0].Bytes == 0 {
		t.Errorf("%+v", r)
	}
	if l := got.Log; len(l) != 2 || l[0].Level != "WARN" || !strings.HasSuffix(l[0].Text, "msg=short a=1 g.b=2") || l[1].Text != "msg=refused reason=origin from=192.0.2.7" || l[1].AgoMS < 0 {
		t.Errorf("%+v", l)
	}
	narrow.Close()
}

// Pages that ask at once get one answer, and what takes long is asked for less often.
func TestStatusIsMadeForAllPagesTogether(t *testing.T) {
	now, asked := time.Second, 0
	f := &counting{ask: func() { asked++; now += 100 * time.Millisecond }}
	s := statuser{figures: f, now: func() time.Duration { return now }}
	for range 5 {
		if _, code := s.newest(t.Context(), false); code != 200 {
			t.Fatal(code)
		}
	}
	now += statusShare*100*time.Millisecond - 1
	s.newest(t.Context(), false)
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	now++
	s.newest(t.Context(), false)
	if asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
	f.err = context.DeadlineExceeded
	now += time.Hour
	if body, code := s.newest(t.Context(), false); code != 503 || !json.Valid(body) {
		t.Errorf("loops that do not answer: %d %s", code, body)
	}
}

// counting is a gateway that takes long.
type counting struct {
	ask func()
	err error
}

func (c *counting) Stats(context.Context) (gateway.Stats, error) {
	c.ask()
	return gateway.Stats{}, c.err
}

func (c *counting) State(context.Context) (gateway.State, error) { return gateway.State{}, nil }

func (c *counting) Ready() error { return nil }

func (c *counting) Rooms(gateway.RoomQuery) ([]gateway.RoomInfo, int) { return nil, 0 }

func (c *counting) Connections(context.Context, gateway.ConnQuery) ([]gateway.ConnInfo, int, error) {
	return nil, 0, nil
}
