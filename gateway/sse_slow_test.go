package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/sse"
	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// inLines is a message of several lines that tells its number; in the log it is larger than it is.
func inLines(i int) string { return fmt.Sprintf("%d\n", i) + strings.Repeat("filling\n", 500) }

// S02. Readers of events that do not read are behind by more than their room keeps, and do what
// their room's policy says: each gets whole events in order, and then the reason for its end, or
// goes on further ahead. A WebSocket that reads gets everything meanwhile. The account comes out
// even, which every test of this package looks at in the end.
func TestS02_SlowReadersOfEvents(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		policy hub.Policy
		isKept bool
	}{{hub.Disconnect, false}, {hub.Skip, false}, {hub.Latest, false}, {hub.Disconnect, true}, {hub.Skip, true}, {hub.Latest, true}} {
		t.Run(fmt.Sprintf("%v/%v", tc.policy, tc.isKept), func(t *testing.T) {
			policy := tc.policy
			const messages = 250 // 1 MiB, and as events 1.8
			cfg := testConfig()
			cfg.SlowPolicy = policy
			cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = 64<<10, 512<<10, 128<<10
			if tc.isKept {
				cfg.History = []HistoryRule{{Pattern: "stage", Bytes: 256 << 10}}
			}
			cfg.CloseTimeout, cfg.StallTimeout, cfg.SkipTimeout = time.Hour, time.Hour, time.Hour
			s, addr := startGateway(t, cfg)
			slow := wstest.ListenBy(wstest.Connect(t, addr).Narrow(), "/sse/stage")
			quick := wstest.Listen(t, addr, "/sse/stage")
			reader := wstest.Join(t, addr, "/ws/stage")
			for i := range messages {
				testenv.Eventually(t, "the room takes a message", func() bool { // A loop may wait for a processor.
					n, err := s.Publish("stage", Message{Data: []byte(inLines(i))})
					if err != nil && !errors.Is(err, ErrRoomFull) || err == nil && n != 3 && n != 2 {
						t.Fatalf("message %d: %d members, %v", i, n, err)
					}
					return err == nil
				})
				quick.Expect("message", inLines(i))
				reader.ExpectFrame(ws.OpText, inLines(i))
			}
			testenv.Eventually(t, "the slow one is overrun", func() bool { return testenv.StatsOf(t, s).Hub.Overrun[policy] > 0 })
			next, resets := 0, 0
			for {
				e, err := slow.Next()
				if err == nil && e.Type == "close" && policy == hub.Disconnect {
					if e.Data != `{"code":4008,"reason":"slow consumer"}` || next == 0 || next == messages {
						t.Errorf("behind %d messages: %q", next, e.Data)
					}
					slow.ExpectOver()
					break
				}
				if err == nil && e.Type == "reset" {
					var told struct {
						Reason, Position string
						Missed           int
					}
					if err := json.Unmarshal([]byte(e.Data), &told); err != nil || told.Reason != "overrun" || told.Missed == 0 {
						t.Fatalf("behind %d came %q, %v", next, e.Data, err)
					}
					next += told.Missed
					if at := offsetOf(t, e.ID); tc.isKept && (at != next || told.Position != e.ID) || !tc.isKept && told.Position+e.ID != "" {
						t.Errorf("%d is next, and it goes on behind %q, by its id %q", next, told.Position, e.ID)
					}
					resets++
					continue
				}
				n := 0
				if _, scan := fmt.Sscanf(e.Data, "%d\n", &n); err != nil || scan != nil || e.Data != inLines(n) || n != next {
					t.Fatalf("behind %d came %s %.20q, %v", next, e.Type, e.Data, err)
				}
				if next = n + 1; tc.isKept && offsetOf(t, e.ID) != next {
					t.Fatalf("message %d has the id %q", n, e.ID)
				}
				if next == messages {
					break
				}
			}
			if policy != hub.Disconnect && resets != 1 {
				t.Errorf("%d resets", resets)
			}
		})
	}
}

// offsetOf is the offset of an event's id: of the nth message in its room's first epoch n. Zero:
// there is none.
func offsetOf(t *testing.T, id string) int {
	t.Helper()
	if id == "" {
		return 0
	}
	p, ok := hub.ParsePosition(id)
	if !ok {
		t.Fatalf("the id %q", id)
	}
	return int(p.Offset)
}

// N22, as readers of events meet it: a drain ends them behind a whole event, those who are behind
// and read, too.
func TestN22_ReadersOfEventsAreEndedBehindAnEvent(t *testing.T) {
	cfg := testConfig()
	cfg.DrainTimeout = testenv.Patience
	cfg.PublishWindow = 512 << 10
	s, addr := startGateway(t, cfg)
	var all []*wstest.Events
	for range 6 {
		all = append(all, wstest.ListenBy(wstest.Connect(t, addr).Narrow(), "/sse/stage"))
	}
	for i := 0; ; i++ {
		if _, err := s.Publish("stage", Message{Data: []byte(inLines(i))}); errors.Is(err, ErrRoomFull) {
			break // Nobody reads.
		} else if err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "they are refused", func() bool { return testenv.StatsOf(t, s).Refused >= 6 })
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	testenv.Eventually(t, "all have had their turn", func() bool { return livesIn(t, s, open) == 0 })
	for _, e := range all {
		for next := 0; ; {
			got, err := e.Next()
			if err != nil {
				t.Fatalf("behind %d: %v", next, err)
			}
			if got.Type == "close" {
				if got.Data != `{"code":1001,"reason":"going away"}` || e.Retry == "" {
					t.Errorf("%q, retry %q", got.Data, e.Retry)
				}
				e.ExpectOver()
				break
			}
			if got.Data != inLines(next) {
				t.Fatalf("instead of %d came %.20q", next, got.Data)
			}
			next++
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	expectClosed(t, s, ClosedDrain, 6)
}

// What an encoder needs for a large event does not stay with it, and is made once.
func TestLargeEventsLeaveNothingBehind(t *testing.T) {
	var e encoder
	for _, payload := range []string{strings.Repeat("\n", 1<<20), strings.Repeat("x", 1<<20), "small"} {
		for _, op := range []wsproto.Opcode{wsproto.OpText, wsproto.OpBinary} {
			for _, isKept := range []bool{false, true} {
				e.of("r", message{Message: wsproto.Message{Op: op, Payload: []byte(payload)}})
				e.isKept = isKept
				size := eventSize(e.message.Message)
				f := e.Encode(encodingEvents)
				if len(f.Head) > size || cap(e.event) > eventKept+sse.IDLine || len(payload) > eventKept && cap(f.Head) > size+size/8 {
					t.Errorf("%d bytes are an event of %d, at most %d, in %d; %d stay", len(payload), len(f.Head), size, cap(f.Head), cap(e.event))
				}
			}
		}
	}
}
