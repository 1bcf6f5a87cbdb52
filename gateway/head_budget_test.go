package gateway

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/wsproto"
)

// headsHeld is what the first loop counts, after it was held against what its connections have.
func headsHeld(t testing.TB, s *Server) (held, conns int) {
	t.Helper()
	w, done := s.workers[0], make(chan struct{})
	if !w.loop.Post(func(l *reactor.Loop) {
		defer close(done)
		held = w.headBudget.held
		real, listed := 0, 0
		for _, source := range l.Sources {
			if c, ok := source.(*conn); ok && c.life == reading && c.in != nil {
				real += cap(c.in.head) + headCost
				conns++
			}
		}
		for c := w.headBudget.oldest; c != nil; c = c.in.newer {
			if listed++; c.in.newer == nil && c != w.headBudget.newest {
				t.Error("the list does not end with the newest")
			}
		}
		if held != real || listed != conns || held > w.headBudget.limit {
			t.Errorf("%d bytes of %d heads are counted, %d of %d are there, the limit is %d", held, listed, real, conns, w.headBudget.limit)
		}
	}) {
		t.Fatal("the mailbox is full")
	}
	<-done
	return held, conns
}

// Thousands that dribble heads of nearly the largest size stay within --head-memory, and those who
// have been at it for longest go, not an honest client whose head comes in two parts. Relatives:
// heads by bytes, behind an answer, of clients that leave, that run out of time, and alone with as
// little memory as there may be.
func TestN03_UnfinishedHeadsStayWithinTheirMemory(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.HeadMemory = 1, 512<<10
	s, addr := startGateway(t, cfg)
	unfinished := []byte("GET /ws HTTP/1.1\r\nHost: sluice.test\r\nCookie: " + strings.Repeat("c", 30<<10))
	honest := wstest.UpgradeHead("/ws/honest", "Cookie: "+strings.Repeat("c", 20<<10))
	const attackers = 100
	var all []*wstest.Client
	for i := range attackers {
		c := wstest.Connect(t, addr)
		if i%3 == 1 {
			c.Send(wstest.PlainGet("/livez"))
			c.Response()
		}
		if i%3 == 2 {
			for n := 0; n < len(unfinished); n += 1000 {
				c.Send(unfinished[n:min(n+1000, len(unfinished))])
			}
		} else {
			c.Send(unfinished)
		}
		all = append(all, c)
		if i%10 == 5 {
			h := wstest.Connect(t, addr)
			h.Send(honest[:10_000])
			headsHeld(t, s)
			h.Send(honest[10_000:])
			h.ExpectUpgrade()
		}
		headsHeld(t, s)
	}
	var refused uint64
	testenv.Eventually(t, "all heads are in or refused", func() bool {
		_, conns := headsHeld(t, s)
		refused = testenv.StatsOf(t, s).Refusals[wsproto.ReasonHeads]
		return conns+int(refused) == attackers
	})
	if kept := attackers - int(refused); kept < 10 || kept > 16 {
		t.Errorf("%d heads of some 32 KiB are kept in 512 KiB", kept)
	}
	for i, c := range all {
		if i < int(refused) { // The oldest, whoever they are.
			r, _ := c.Response()
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
				t.Errorf("client %d: %s, want 503", i, r.Status)
			}
			c.Close()
			continue
		}
		if i%2 == 0 {
			c.Reset()
			continue
		}
		c.Send([]byte("\r\n"), wstest.UpgradeHead("/ws")[len("GET /ws HTTP/1.1\r\nHost: sluice.test\r\n"):])
		c.ExpectUpgrade() // Whoever was not refused may go on.
	}
	testenv.Eventually(t, "nothing is held any more", func() bool { held, _ := headsHeld(t, s); return held == 0 })
}

func TestN03_HeadThatIsAloneIsWithinAnyMemory(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.MaxHead, cfg.HeadMemory = 1, 64<<10, 64<<10
	s, addr := startGateway(t, cfg)
	c := wstest.Connect(t, addr)
	head := wstest.UpgradeHead("/ws", "Cookie: "+strings.Repeat("c", 64<<10-200))
	for n := 0; n < len(head); n += 1021 {
		c.Send(head[n:min(n+1021, len(head))])
		headsHeld(t, s)
	}
	c.ExpectUpgrade()
	if held, _ := headsHeld(t, s); held != 0 {
		t.Errorf("%d bytes are counted when it is whole", held)
	}
}

// One line a second, with what to do about it, however many come.
func TestN11_TLSOnAPlainPortIsSaidInTheLog(t *testing.T) {
	var log journal
	kernel := newFarKernel("203.0.113.5")
	kernel.StopClock()
	cfg := testConfig()
	s := makeServer(t, cfg, slog.New(slog.NewTextHandler(&log, nil)), kernel)
	t.Cleanup(s.Close)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	ask := func(first string) {
		c := wstest.Connect(t, s.Addrs()[0].String())
		c.Send([]byte(first))
		c.ExpectRefusal(http.StatusBadRequest)
	}
	for range 20 {
		ask("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	}
	lines := log.lines("refused")
	if len(lines) != 1 || !strings.Contains(lines[0], "reason=not_http") || !strings.Contains(lines[0], "TLS on a plain port") ||
		!strings.Contains(lines[0], `\x16\x03`) {
		t.Errorf("logged %q, want one line that says TLS", lines)
	}
	kernel.Advance(2 * time.Second)
	ask("SSH-2.0-OpenSSH_9.6\r\n")
	if lines := log.lines("refused"); len(lines) != 2 || strings.Contains(lines[1], "TLS") || !strings.Contains(lines[1], "and_more=19") {
		t.Errorf("logged %q, want another line without a word of TLS", lines)
	}
}
