package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/browsertest"
	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/run"
)

// As LOADTEST_CLI=1 the test binary is the program itself, so that tests can spawn it.
func TestMain(m *testing.M) {
	if os.Getenv("LOADTEST_CLI") == "1" {
		main()
		return
	}
	os.Setenv("LOADTEST_CLI", "1") // A run of several processes starts itself.
	os.Exit(testenv.RunWaiting(m, browsertest.Stop, proctest.RemoveBuilt))
}

// selfCommand is a shell command that runs this program.
func selfCommand(tb testing.TB, args string) string {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return "LOADTEST_CLI=1 exec '" + exe + "' " + args
}

func TestSpawnedServerIsMeasuredAndStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := &load.Load{
		Clients: 20, Publishers: 1, Rooms: 1, Size: load.FixedSize(64), Messages: 200, Window: 16, Loops: 2,
		ConnectTimeout: 30 * time.Second, LossTimeout: 10 * time.Second,
	}
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	// A shell between us and the server: the server's cost must be found below it.
	command := "echo 'msg=stopped deliveries=30 writes=10 note=x'; " + strings.Replace(selfCommand(t, "floor --listen 127.0.0.1:$PORT"), "exec ", "", 1) + "; echo end"
	res, err := run.Once(ctx, cfg, []string{"ws://nowhere:1/ws"}, []string{command}, nil, &progress.Display{})
	if err != nil {
		t.Fatal(err)
	}
	s := res.Server
	if res.Faulty() || s == nil {
		t.Fatalf("faults %+v, server %+v", res, s)
	}
	if s.CPUPerDelivery < 0.2 || s.CPUPerDelivery > 500 || s.RSS < 3<<20 || s.CPUPerConnection <= 0 || s.SwitchesPerSecond <= 0 {
		t.Errorf("implausible: %+v", s)
	}
	if s.Said["deliveries"] != 30 || s.Said["writes"] != 10 {
		t.Errorf("its last words: %v", s.Said)
	}
}

func TestComparisonPrintsMediansAndRatios(t *testing.T) {
	t.Parallel()
	floor := selfCommand(t, "floor --listen 127.0.0.1:$PORT")
	for _, test := range []struct {
		args  []string
		want  []string
		sides []string
	}{
		{
			[]string{"compare", "--clients=20", "--stalled=5", "--calm", "--messages=20", "--warmup=1", "--settle=0s", "--loss-timeout=20s"},
			[]string{"server CPU µs/delivery", "deliveries/s", "latency p99 µs", "bytes/delivery", "resident MB"},
			[]string{"A", "B", "A'", "A-"},
		},
		{[]string{"connect", "--connections=50"}, []string{"server CPU µs/connection", "connections/s"}, []string{"A", "B", "A'"}},
	} {
		t.Run(test.args[0], func(t *testing.T) {
			t.Parallel() // It waits more than it works.
			var said strings.Builder
			args := append(test.args, "--rounds=2", "--quiet", "--spawn", floor, "--spawn", floor)
			if status := runMain(t.Context(), args, &said, &said); status != exitOK {
				t.Fatalf("exit status %d\n%s", status, said.String())
			}
			for _, name := range test.want {
				_, rest, found := strings.Cut(said.String(), "\n"+name)
				lines := strings.Split(rest, "\n")
				if !found || len(lines) < 1+len(test.sides) {
					t.Fatalf("%q is missing:\n%s", name, said.String())
				}
				for i, side := range test.sides {
					f := strings.Fields(lines[1+i])
					if len(f) != 6 || f[0] != side || side == "A" && f[2] != "1.000" {
						t.Errorf("%s: line of %s is %q", name, side, lines[1+i])
					}
				}
			}
		})
	}
}

func TestPresetsFillInWhatIsNotGiven(t *testing.T) {
	t.Parallel() // It waits more than it works.
	var said strings.Builder
	file := filepath.Join(t.TempDir(), "report.json")
	args := []string{"--preset=stalled", "--clients=30", "--stalled=4", "--messages=20", "--loss-timeout=20s", "--json", file, "--spawn", selfCommand(t, "floor --listen 127.0.0.1:$PORT")}
	if status := runMain(t.Context(), args, &said, &said); status != exitOK {
		t.Fatalf("exit status %d\n%s", status, said.String())
	}
	b, err := os.ReadFile(file)
	var res report.Result
	if err := errors.Join(err, json.Unmarshal(b, &res)); err != nil {
		t.Fatal(err)
	}
	if res.Clients != 30 || res.Crowd.Stalled != 4 || res.Messages != 20 || res.Size != 1024 || res.Window != 8 {
		t.Errorf("clients %d, stalled %d, messages %d, size %d, window %d; want 30, 4, 20 as given, 1024 and 8 as preset",
			res.Clients, res.Crowd.Stalled, res.Messages, res.Size, res.Window)
	}
}
