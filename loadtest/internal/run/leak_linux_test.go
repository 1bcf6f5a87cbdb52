package run

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/servertest"
)

func TestRunLeavesNothingBehind(t *testing.T) {
	if !proctest.Alone(t) {
		return
	}
	for name, test := range map[string]struct {
		start func(testing.TB, *servertest.Server) string
		turn  func(*load.Load)
	}{
		"one process":     {servertest.Start, func(c *load.Load) { c.Sample, c.Storm = true, 20 }},
		"TLS":             {servertest.StartSecure, func(c *load.Load) { c.Insecure = true }},
		"three processes": {servertest.Start, func(c *load.Load) { c.Processes, c.Sample = 3, true }},
	} {
		t.Run(name, func(t *testing.T) {
			s := &servertest.Server{}
			url := test.start(t, s)
			load := func() {
				cfg := testLoad()
				cfg.LossTimeout = 10 * time.Second
				test.turn(cfg)
				if res := loadServer(t, cfg, url); res.Faulty() {
					t.Errorf("faults %+v", faultsOf(res))
				}
			}
			load() // What is made once is not a leak.
			s.Await(t)
			before := held(t)
			load()
			s.Await(t)
			before.await(t)
		})
	}
}

// A run that is interrupted leaves as little, and touches nothing that it has given back.
func TestInterruptedRunLeavesNothingBehind(t *testing.T) {
	if !proctest.Alone(t) {
		return
	}
	var interrupt context.CancelFunc
	s := &servertest.Server{}
	url := servertest.Start(t, s)
	run := func() {
		cfg := testLoad()
		cfg.Processes, cfg.Sample, cfg.Storm, cfg.Rate, cfg.Messages = 3, true, 20, 200, 100_000
		if err := cfg.Prepare(); err != nil {
			t.Fatal(err)
		}
		targets, err := cfg.Aim([]string{url})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		interrupt = cancel
		s.Reset()
		if _, err := measure(ctx, cfg, targets, nil, &progress.Display{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		s.Await(t)
	}
	s.Before = func(message int) {
		if message == 30 {
			interrupt()
		}
	}
	run()
	before := held(t)
	run()
	before.await(t)
}

// holding is what a process can fail to give back.
type holding struct{ goroutines, descriptors, children int }

// await waits until no more is held than before. The server's goroutines, in this process, end a
// moment after its connections; before, some of an earlier run may have been ending still.
func (before holding) await(t *testing.T) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		now := held(t)
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors && now.children <= before.children {
			return
		}
		if time.Since(began) > testenv.Patience {
			t.Fatalf("held %+v after a run, %+v before", now, before)
		}
	}
}

func held(t *testing.T) holding {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return holding{runtime.NumGoroutine(), len(fds), len(helpersOf(os.Getpid()))}
}
