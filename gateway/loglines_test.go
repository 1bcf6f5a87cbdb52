package gateway

import (
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// startNoted runs a gateway whose log a test reads, from a level on.
func startNoted(t *testing.T, cfg *config, kernel reactor.Kernel, log *journal, level slog.Level) (s *Server, addr string) {
	t.Helper()
	s = makeServer(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})), kernel)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.Close)
	return s, s.Addrs()[0].(*net.TCPAddr).String()
}

// N47: whoever looks for why a client was cut finds one line at info, with its room, how far it was
// behind, and the id by which the debug log has its coming. Relatives: of many that are cut at once
// one line tells, and the number of the others; 4008 and a client that takes nothing more in one
// test each.
func TestN47_StalledClientIsLoggedWithItsLag(t *testing.T) {
	t.Parallel()
	const stalled = 3
	cfg := testConfig()
	kernel := reactortest.New()
	kernel.StopClock()
	var log journal
	s, addr := startNoted(t, cfg, kernel, &log, slog.LevelDebug)
	for range stalled {
		wstest.Join(t, addr, "/ws/stage").Narrow()
	}
	others := wstest.Gather(t, addr, "/ws/stage", 4, 1<<10)
	for range 4 {
		others.Publish(1 << 10)
		others.HearAll()
	}
	for range 3 * cfg.StallTimeout / time.Second {
		if s.Open() > 4 {
			kernel.Pass(time.Second)
		}
	}
	expectClosed(t, s, ClosedStalled, stalled)
	joined := map[string]bool{}
	for _, line := range log.lines("client joined") {
		m := regexp.MustCompile(`level=DEBUG msg="client joined" id=(\S+) from=127\.0\.0\.1 room=stage encoding=plain\n$`).FindStringSubmatch(line)
		if m == nil || joined[m[1]] {
			t.Fatalf("logged %q", line)
		}
		joined[m[1]] = true
	}
	if len(joined) != stalled+4 {
		t.Errorf("%d lines of %d that came", len(joined), stalled+4)
	}
	expectLagLines(t, &log, `reason=stalled`, joined)
}

// expectLagLines looks at the lines about clients that were too slow: the first at info, each about
// one that has joined, in its room, and behind.
func expectLagLines(t *testing.T, log *journal, reason string, joined map[string]bool) {
	t.Helper()
	infos := 0
	for _, line := range log.lines("client left") {
		m := regexp.MustCompile(`level=(\w+) msg="client left" ` + reason + ` id=(\S+) from=127\.0\.0\.1 room=stage messages_behind=(\d+) bytes_behind=(\d+) and_more=\d+\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Errorf("logged %q", line)
			continue
		}
		messages, _ := strconv.Atoi(m[3])
		bytes, _ := strconv.Atoi(m[4])
		if joined != nil && !joined[m[2]] || messages < 1 || bytes < 1024 {
			t.Errorf("logged %q", line)
		}
		if m[1] == "INFO" {
			infos++
		}
	}
	if infos < 1 {
		t.Errorf("no line at info: %q", log.lines("client left"))
	}
}

func TestN47_OverrunClientIsLoggedWithItsLag(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.RoomBacklog = 4 << 20
	cfg.CloseTimeout = 300 * time.Millisecond
	var log journal
	s, addr := startNoted(t, cfg, nil, &log, slog.LevelInfo)
	wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 4, 4<<10)
	for range 8 {
		others.Publish(256)
		others.HearAll()
	}
	testenv.Eventually(t, "it is gone", func() bool { return s.Open() == 4 })
	if len(log.lines("client joined")) > 0 {
		t.Errorf("at info: %q", log.lines("client joined"))
	}
	expectLagLines(t, &log, `reason=(?:slow_consumer|close_timeout because=slow_consumer)`, nil)
}
