package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/servertest"
)

func init() {
	scheduled["an open loop runs alike in all processes"] = testOpenLoopRunsAlikeInAllProcesses
	scheduled["a publisher waits for clients of other processes"] = testPublisherWaitsForClientsOfOtherProcesses
}

// threeProcesses is a load whose clients of one room are in three processes, two of which publish.
func threeProcesses() *load.Load {
	cfg := testLoad()
	cfg.Processes, cfg.Publishers, cfg.Clients, cfg.Window = 3, 2, 21, 1
	cfg.LossTimeout = 3 * time.Second
	return cfg
}

func TestProcessesProveOneRoomTogether(t *testing.T) {
	t.Parallel() // What is lost is waited for.
	const victim = 7
	isHit := func(conn, message int) bool { return conn == victim && message%100 == 50 }
	for _, test := range []struct {
		name   string
		server *servertest.Server
		want   seenFaults
	}{
		{"good", &servertest.Server{}, seenFaults{}},
		{"lost", &servertest.Server{Mangle: loser(isHit)}, seenFaults{lost: 2}},
		{"the last one lost", &servertest.Server{Mangle: func(_, message int, p []byte) [][]byte {
			if message == 199 {
				return [][]byte{}
			}
			return nil
		}}, seenFaults{lost: 21}},
		{"duplicated", &servertest.Server{Mangle: doubler(isHit)}, seenFaults{duplicated: 2}},
		{"corrupted", &servertest.Server{Mangle: flipper(isHit, 40)}, seenFaults{corrupted: 2}},
		{"closed", &servertest.Server{HangUp: func(conn, message int) bool { return conn == 20 && message == 199 }}, seenFaults{lost: 1, closed: 1}},
		{"refused", &servertest.Server{Refuse: func(request int) bool { return request%10 == 9 }}, seenFaults{failed: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := threeProcesses()
			if test.want.lost == 0 { // Or it is waited for.
				cfg.LossTimeout = 10 * time.Second
			}
			res := loadServer(t, cfg, servertest.Start(t, test.server))
			if got := faultsOf(res); got != test.want {
				t.Errorf("counted %+v, want %+v\n%v", got, test.want, res.Explanations)
			}
			clients := uint64(21 - res.Connect.Failed)
			if res.Messages != 200 || res.Expected != 200*clients || res.Delivered+res.Lost+res.Corrupted != res.Expected || res.Processes != 3 {
				t.Errorf("%d messages, %d delivered + %d lost + %d corrupted of %d, by %d processes",
					res.Messages, res.Delivered, res.Lost, res.Corrupted, res.Expected, res.Processes)
			}
			if res.Orders != 1 && test.want == (seenFaults{}) {
				t.Errorf("clients of one room saw %d orders", res.Orders)
			}
			if test.want.lost == 0 && test.want.corrupted == 0 && uint64(res.Histogram.Count()) != res.Delivered {
				t.Errorf("%d latencies of %d deliveries", res.Histogram.Count(), res.Delivered)
			}
		})
	}
}

// A closed loop must wait for receivers in other processes, too: its window shows in how far the
// server gets ahead of the slowest client.
func testPublisherWaitsForClientsOfOtherProcesses(t *testing.T) {
	const pause = 20 * time.Millisecond
	inOneRun(t, func() error {
		cfg := threeProcesses()
		cfg.Publishers, cfg.Messages, cfg.LossTimeout = 1, 30, 10*time.Second
		res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
			if conn == 20 {
				time.Sleep(pause)
			}
			return nil
		}}))
		low := float64(pause.Microseconds())
		if res.Faulty() || res.Seconds < 30*pause.Seconds() || res.Latency.Max < low {
			t.Errorf("faults %+v, latency %+v, %v s for 30 messages of which each takes %v", faultsOf(res), res.Latency, res.Seconds, pause)
		}
		// A client that reads late what came early is less far ahead.
		if res.Skew.P50 < low || res.Latency.P50 > low*10 {
			return fmt.Errorf("skew %+v, latency %+v: want one client %v behind", res.Skew, res.Latency, pause)
		}
		return nil
	})
}

func testOpenLoopRunsAlikeInAllProcesses(t *testing.T) {
	inOneRun(t, func() error {
		cfg := threeProcesses()
		cfg.Publishers, cfg.Rate, cfg.Duration, cfg.Sample, cfg.Storm, cfg.Stalled = 3, 60, 2*time.Second, true, 30, 2
		cfg.LossTimeout = 10 * time.Second
		res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{}))
		if res.Faulty() || res.Messages != 120 || res.Crowd.Returned != 6 || res.Crowd.StalledOpen != 2 {
			t.Errorf("%d messages, faults %+v, crowd %+v", res.Messages, faultsOf(res), res.Crowd)
		}
		var sum int64
		for _, s := range res.Series {
			sum += s.Deliveries
		}
		if uint64(sum) != res.Delivered || len(res.Series) < 3 {
			t.Errorf("%d points with %d deliveries, want %d", len(res.Series), sum, res.Delivered)
		}
		// Clocks that differ between processes would show as latencies below nothing, which count
		// as a nanosecond, or as long ones.
		if res.Latency.P50 < 1 || res.Latency.P50 > 1e6 || !res.Sustained {
			return fmt.Errorf("a backlog of %d, latency %+v", res.Backlog, res.Latency)
		}
		return nil
	})
}

func TestProcessesSpeakTLS(t *testing.T) {
	t.Parallel()
	cfg := threeProcesses()
	cfg.Insecure = true
	isHit := func(conn, message int) bool { return conn == 7 && message%100 == 50 }
	res := loadServer(t, cfg, servertest.StartSecure(t, &servertest.Server{Mangle: flipper(isHit, 40)}))
	if got, want := faultsOf(res), (seenFaults{corrupted: 2}); got != want || res.Delivered != 200*21-2 {
		t.Errorf("counted %+v, want %+v; %d delivered", got, want, res.Delivered)
	}
}

func TestTargetsHaveTheirOwnRooms(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{1, 2} {
		one, two := &servertest.Server{}, &servertest.Server{}
		cfg := testLoad()
		cfg.Processes, cfg.Clients, cfg.Messages, cfg.LossTimeout = processes, 31, 100, 10*time.Second
		res := loadServer(t, cfg, servertest.Start(t, one), servertest.Start(t, two))
		// Each has a publisher, whose 50 messages reach its 16 or 15 clients.
		if res.Faulty() || res.Foreign > 0 || res.Publishers != 2 || res.Delivered != 50*31 {
			t.Errorf("%d processes: %d publishers, %d delivered, faults %+v", processes, res.Publishers, res.Delivered, faultsOf(res))
		}
		if a, b := one.Clients(), two.Clients(); a != 16 || b != 15 {
			t.Errorf("%d processes: the targets had %d and %d clients, want 16 and 15", processes, a, b)
		}
	}
}

func TestRunEndsWithAHelperThatDies(t *testing.T) {
	cfg := threeProcesses()
	cfg.Messages, cfg.Rate = 100_000, 100
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	s := &servertest.Server{Before: func(message int) {
		if message == 10 {
			for _, pid := range helpersOf(os.Getpid()) {
				_ = kill9(pid)
			}
		}
	}}
	targets, err := cfg.Aim([]string{servertest.Start(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := measure(ctx, cfg, targets, nil, &progress.Display{}); err == nil || errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "a process of the load test ended") {
		t.Errorf("error %v", err)
	}
}

// helpersOf are the processes that pid started as helpers.
func helpersOf(pid int) (all []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// It may have ended meanwhile.
		status, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", pid)) && strings.HasSuffix(string(command), "\x00helper\x00") {
			all = append(all, id)
		}
	}
	return all
}

func kill9(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
