package run

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
)

// A run of several processes starts its own program as "helper"; in tests that is the test's.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "helper" {
		if err := Help(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(testenv.RunAtOnce(m, 16))
}

// testLoad is a small load. Its patience is what a busy machine may take, not what the load does.
func testLoad() *load.Load {
	return &load.Load{
		Clients: 20, Publishers: 1, Rooms: 1, Size: load.FixedSize(64), Messages: 200, Window: 16, Loops: 2,
		ConnectTimeout: 30 * time.Second, LossTimeout: 3 * time.Second, Drain: 10 * time.Second,
	}
}

// inOneRun makes a run up to five times until it is as it should be. It is for figures that a
// machine with other work can spoil, in one run or two but not in all: a tool that measures wrongly
// does so every time.
func inOneRun(t *testing.T, run func() error) {
	t.Helper()
	var err error
	for range 5 {
		if err = run(); err == nil {
			return
		}
		t.Log(err)
	}
	t.Error(err)
}

// loadServer makes one run and fails the test if it has no result.
func loadServer(t testing.TB, cfg *load.Load, urls ...string) *report.Result {
	t.Helper()
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	targets, err := cfg.Aim(urls)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	res, err := measure(ctx, cfg, targets, nil, &progress.Display{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// seenFaults are the figures of a report that a good server leaves at zero.
type seenFaults struct {
	lost, duplicated, reordered, corrupted, foreign uint64
	closed, violations, failed                      int
}

func faultsOf(r *report.Result) seenFaults {
	return seenFaults{
		r.Lost, r.Duplicated, r.Reordered, r.Corrupted, r.Foreign, r.Closed, r.Violations, r.Connect.Failed,
	}
}
