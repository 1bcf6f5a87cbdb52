package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// A thousand subscribers may ask for a thousand rooms each: there is an end to it unless none is
// asked for.
func TestRoomsHaveALimitUnlessNoneIsAskedFor(t *testing.T) {
	for _, tt := range []struct{ asked, most int }{{0, 1_000_000}, {3, 3}, {-1, 0}} {
		cfg := config{Options: Options{MaxRooms: tt.asked}}
		cfg.fill()
		if got := cfg.limits().Rooms; got != tt.most { // Zero is none for the hub.
			t.Errorf("asked for %d, the hub is given %d, want %d", tt.asked, got, tt.most)
		}
	}
}

// Hundreds of clients on two loops ask for rooms of their own at once: as many get one as there may
// be, and the others are told.
func TestRoomsOverTheLimitAreRefused(t *testing.T) {
	const most, clients = 7, 200
	cfg := testConfig()
	cfg.MaxRooms = most
	s, addr := startGateway(t, cfg)
	var all []*wstest.Client
	for range clients {
		all = append(all, wstest.Connect(t, addr))
	}
	var joined, refused atomic.Int64
	in := make([]*wstest.Client, clients)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			c.TrySend(wstest.UpgradeHead(fmt.Sprintf("/ws/room.%d", i)))
			r, err := http.ReadResponse(c.In, &http.Request{Method: http.MethodGet})
			if err != nil {
				t.Error(err)
				return
			}
			switch {
			case r.StatusCode == http.StatusSwitchingProtocols:
				joined.Add(1)
				in[i] = c
			case r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("%s", r.Status)
			}
		})
	}
	wg.Wait()
	if joined.Load() != most || refused.Load() != clients-most || s.hub.Rooms() != most {
		t.Fatalf("%d joined, %d refused, %d rooms; want %d, %d, %d", joined.Load(), refused.Load(), s.hub.Rooms(), most, clients-most, most)
	}
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonRooms] != clients-most || st.Upgrades != most {
		t.Errorf("%d refusals and %d upgrades counted", st.Refusals[wsproto.ReasonRooms], st.Upgrades)
	}
	for i, c := range in {
		if c == nil {
			continue
		}
		path := fmt.Sprintf("/ws/room.%d", i)
		wstest.Join(t, addr, path, wstest.MaskedText("one that exists may be joined")).ExpectFrame(ws.OpText, "one that exists may be joined")
		c.ExpectFrame(ws.OpText, "one that exists may be joined")
	}
}

// The largest message is larger than the segments of its room: it gets one of its own, and is
// delivered. One byte more is not.
func TestS13_MessageLargerThanASegmentIsDelivered(t *testing.T) {
	cfg := testConfig()
	cfg.RoomBacklog = 2 << 20 // Segments are at most a sixteenth of it.
	cfg.PublishWindow = 64 << 10
	s, addr := startGateway(t, cfg)
	crowd := wstest.Gather(t, addr, "/ws/r", 3, int(cfg.MaxMessage))
	for range 5 { // More than the backlog, and each more than the window.
		crowd.Publish(1)
		crowd.HearAll() // Or one that waits for a processor is overrun by two that do not.
	}
	over := wstest.Join(t, addr, "/ws/r")
	over.TrySend(wstest.Masked(ws.OpBinary, true, strings.Repeat("x", int(cfg.MaxMessage)+1)))
	over.ExpectClose(1009)
	over.Close()
	expectClosed(t, s, ClosedTooBig, 1)
	crowd.Publish(1)
	crowd.HearAll()
}

// With one among many who does not read, the others get each message as soon as without. The ratio
// is a figure, printed; a test can only tell it from being held up. At full size it is 1,000
// clients: here there are 25, or 100 with SLUICE_CI=1.
func TestS01_OneSlowReaderDelaysNobody(t *testing.T) {
	const size, pairs = 1 << 10, 3
	readers, messages := 12, 30
	if testenv.IsWholeSize(t) {
		readers, messages = 100, 100
	} else if testenv.RaceEnabled {
		readers = 6
	}
	s, addr := startGateway(t, testConfig())
	measure := func(pair int, isSlow bool) (p50, p99 time.Duration) {
		path := fmt.Sprintf("/ws/%d.%t", pair, isSlow)
		if isSlow {
			slow := wstest.Join(t, addr, path).Narrow()
			defer slow.Close()
		}
		others := wstest.Gather(t, addr, path, readers, size)
		was := testenv.StatsOf(t, s).Hub.Blocked
		others.Publish(1 << 10) // 1 MiB, more than the kernel holds for one that does not read: it is behind from here on.
		others.HearAll()
		if isSlow && testenv.StatsOf(t, s).Hub.Blocked == was {
			t.Error("the slow reader was not slow enough for this test")
		}
		var took []time.Duration
		for range messages {
			start := time.Now()
			others.Publish(1)
			others.HearAll()
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return took[messages/2], took[messages*99/100]
	}
	var medians, tails []float64
	soonest := time.Hour // of the medians with a slow reader
	for pair := range pairs {
		with50, with99 := measure(pair, true)
		without50, without99 := measure(pair, false)
		soonest = min(soonest, with50)
		medians = append(medians, float64(with50)/float64(without50))
		tails = append(tails, float64(with99)/float64(without99))
	}
	slices.Sort(medians)
	slices.Sort(tails)
	t.Logf("with one slow reader of %d, messages took %.2f times as long (p50), %.2f times (p99): medians of %d pairs", readers+1, medians[pairs/2], tails[pairs/2], pairs)
	// In every pair: a machine that turns to something else may slow one half of a pair down, but
	// not of all. And where all are quick a ratio says little.
	if medians[0] > 5 && soonest > 20*time.Millisecond {
		t.Error("a slow reader holds up the others")
	}
}
