package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/reactor"
)

// dialNarrow opens a WebSocket with an independent client whose kernel takes little before its
// owner reads.
func dialNarrow(t testing.TB, addr, path string) *gorilla.Conn {
	t.Helper()
	d := gorilla.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(128 << 10) // See Client.Narrow.
	}}
	c, _, err := d.Dial("ws://"+addr+path, http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func rules(t testing.TB, texts ...string) (all []RoomRule) {
	t.Helper()
	for _, text := range texts {
		var r RoomRule
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// A look notes how many messages had been missed when so many were published.
type look struct{ published, missed uint64 }

// lastJump tells between which numbers of published messages the last ones were missed.
func lastJump(looks []look) (from, to uint64) {
	i := len(looks) - 1
	for i > 0 && looks[i-1].missed == looks[i].missed {
		i--
	}
	if i > 0 {
		from = looks[i-1].published
	}
	return from, looks[i].published
}

// A client of each kind of room stops reading, is overrun several times over, and reads again. What
// it then gets is judged by gorilla's client.
func TestWhatBecomesOfAnOverrunClientIsItsRoomsPolicy(t *testing.T) {
	const size, published = 16 << 10, 768 // 12 MiB, three backlogs
	for _, policy := range []hub.Policy{hub.Disconnect, hub.Skip, hub.Latest} {
		t.Run(policy.String(), func(t *testing.T) {
			cfg := testConfig()
			cfg.RoomBacklog = 4 << 20
			cfg.CloseTimeout = time.Hour
			cfg.Rooms = rules(t, "skip.*=skip", "latest.*=latest")
			s, addr := startGateway(t, cfg)
			path := fmt.Sprintf("/ws/%v.1", policy)
			slow := dialNarrow(t, addr, path)
			others := wstest.Gather(t, addr, path, 4, size)
			var looks []look
			for range published / 64 {
				others.Publish(64)
				others.HearAll()
				looks = append(looks, look{others.Sent, testenv.StatsOf(t, s).Hub.Skipped})
			}
			testenv.Eventually(t, "it is overrun", func() bool { return testenv.StatsOf(t, s).Hub.Overrun[policy] > 0 })
			others.ExpectPrompt("while one is behind")

			next, missed, wentOn := uint64(0), uint64(0), uint64(0)
			for next < others.Sent {
				slow.SetReadDeadline(time.Now().Add(testenv.Patience))
				_, p, err := slow.ReadMessage()
				if policy == hub.Disconnect {
					if closed := new(gorilla.CloseError); errors.As(err, &closed) {
						if closed.Code != 4008 || closed.Text != "slow consumer" {
							t.Errorf("closed with %d %q", closed.Code, closed.Text)
						}
						break
					}
				}
				if err != nil {
					t.Fatalf("after message %d: %v", next, err)
				}
				for !wstest.IsMessage(p, next, size) {
					if missed++; next == others.Sent {
						t.Fatal("got what nobody sent")
					}
					next++
					wentOn = next
				}
				next++
			}
			st := testenv.StatsOf(t, s)
			if policy == hub.Disconnect {
				if next == others.Sent {
					t.Error("it was not closed")
				}
				slow.Close()
				expectClosed(t, s, ClosedSlow, 1)
				return
			}
			if missed == 0 || st.Hub.Skipped != missed {
				t.Errorf("it missed %d messages, %d by the counter", missed, st.Hub.Skipped)
			}
			// The kernel may take a little more after a while, so it may have gone on more than
			// once: the last time counts.
			from, to := lastJump(append(looks, look{others.Sent, st.Hub.Skipped}))
			if policy == hub.Latest && (wentOn+1 < from || wentOn >= to) {
				t.Errorf("it went on at message %d, when %d to %d were published", wentOn, from, to)
			}
			if least, most := (from-wentOn)*size, (to-wentOn)*size; policy == hub.Skip && (most < 3<<20 || least > 5<<20) {
				t.Errorf("it went on %d to %d bytes before the end, of a backlog of %d", least, most, cfg.RoomBacklog)
			}
			if st.Closed != [NumCloseReasons]uint64{} {
				t.Errorf("somebody was closed: %v", st.Closed)
			}
			others.Publish(10)
			for range 10 {
				if _, p, err := slow.ReadMessage(); err != nil || !wstest.IsMessage(p, next, size) {
					t.Fatalf("message %d does not follow: %v", next, err)
				}
				next++
			}
			if n := s.hub.Pinned(); n != 0 {
				t.Errorf("%d bytes of dropped frames are still kept", n)
			}
		})
	}
}

func TestRoomRules(t *testing.T) {
	cfg := testConfig()
	cfg.SlowPolicy = hub.Skip
	cfg.Rooms = rules(t, "ticker.*=latest,plain", "ticker.slow=disconnect", "*.bin=plain", " a?c=disconnect", "tick*=readonly,deflate",
		"*=readonly", "*x=skip", "x?=latest", "x*=disconnect", `x\.*=skip`)
	for room, want := range map[string]struct {
		policy   hub.Policy
		deflates bool
	}{
		"ticker.eur":  {hub.Latest, false},
		"ticker.slow": {hub.Disconnect, false}, // Each setting by itself: the most specific that speaks of it counts …
		"tick.bin":    {hub.Skip, true},        // … which is that with most before its first wildcard …
		"xy":          {hub.Latest, true},      // … and of equals the first.
		"x.bin":       {hub.Skip, false},
		"abc":         {hub.Disconnect, true},
		"lobby":       {hub.Skip, true},
	} {
		if p, d := cfg.policyOf(room), cfg.deflates(room); p != want.policy || d != want.deflates {
			t.Errorf("%s: %v, deflates %v; want %+v", room, p, d, want)
		}
	}
	for _, bad := range []string{"", "x", "=skip", "x=", "x=often", "[=skip", "x=skip,"} {
		if err := new(RoomRule).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("rule %q is taken", bad)
		}
	}
}

// Of many unfinished messages, which nobody goes on sending, the largest and oldest goes, with a
// code that says to come back.
func TestUnfinishedMessagesStayWithinTheirMemory(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.inflaterSize = 1         // There is room for three messages, a read and an inflater at least.
	cfg.AssemblyMemory = 3 << 20 // Buffers are powers of two: 1 MiB, five times 512 KiB, and a little.
	s, addr := startGateway(t, cfg)
	begin := func(n int) *wstest.Client {
		c := wstest.Join(t, addr, "/ws/r")
		c.Send(wstest.Masked(0x2, false, string(make([]byte, n))))
		return c
	}
	small := []*wstest.Client{begin(10_000), begin(10_000)}
	large := begin(900_000)
	testenv.Eventually(t, "it has come", func() bool { return s.workers[0].inputBudget.shown.Load() >= 1<<20 })
	time.Sleep(10 * time.Millisecond) // It has been waited for.
	var others []*wstest.Client
	for range 5 {
		others = append(others, begin(300_000))
	}
	large.ExpectClose(1013)
	large.Close()
	expectClosed(t, s, ClosedAssembly, 1)
	for _, c := range append(small, others...) {
		c.Send(wstest.Masked(0x0, true, "end"))
	}
	for range len(small) + len(others) {
		if f := small[0].Frame(); f.Header.OpCode != 0x2 {
			t.Fatalf("got %s", wstest.Describe(f))
		}
	}
	testenv.Eventually(t, "nothing is held", func() bool {
		held := make(chan int)
		w := s.workers[0]
		if err := post(t.Context(), w.loop, func(*reactor.Loop) { held <- w.inputBudget.held + w.inputBudget.conns() }); err != nil {
			t.Fatal(err)
		}
		return <-held == 0
	})
}
