package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/internal/proctest"
	"sluice/loadtest/internal/report"
)

// gatewayProgram is the gateway, built once.
var gatewayProgram = sync.OnceValues(func() (string, error) { return proctest.Build("gateway") })

// againstGateway makes a run against the program, started with these flags, and returns its report.
func againstGateway(t *testing.T, flags string, args ...string) (res report.Result, status int, said string) {
	t.Helper()
	gateway, err := gatewayProgram()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.json")
	var out strings.Builder
	args = append([]string{"--loss-timeout=10s"}, args...)
	path := "/ws/{room}"
	if slices.Contains(args, "--protocol=centrifuge") {
		path = "/connection/websocket"
	}
	args = append(args, "--json", file, "--spawn", "exec '"+gateway+"' --listen 127.0.0.1:$PORT "+flags, "ws://127.0.0.1"+path)
	status = runMain(t.Context(), args, &out, &out)
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &res); err != nil {
			t.Fatal(err)
		}
	}
	return res, status, out.String()
}

func TestEventsOfTheGateway(t *testing.T) {
	t.Parallel() // It waits more than it works.
	res, status, said := againstGateway(t, "--history '*=messages:500'", "--clients=60", "--sse=50", "--rooms=2", "--messages=300", "--window=8")
	if status != exitOK || res.Delivered != 300*30 || res.Expected != 300*30 || !strings.Contains(said, "positions    0 misplaced, 0 resets") {
		t.Errorf("exit status %d\n%s", status, said)
	}
}

func TestStormOfTheGatewaysEventsResumes(t *testing.T) {
	t.Parallel()
	storm := []string{"--clients=60", "--sse=50", "--storm=60%", "--rate=200", "--messages=400", "--resume"}
	t.Run("all of it is kept", func(t *testing.T) {
		t.Parallel() // It waits more than it works.
		res, status, said := againstGateway(t, "--history '*=messages:500'", storm...)
		if c := res.Crowd; status != exitOK || res.Delivered != 400*60 || c.Resumers != 30 || c.Returned != 30 || res.Positions.Resets > 0 ||
			c.CaughtUpSeconds < c.StormSeconds || c.StormSeconds <= 0 {
			t.Errorf("exit status %d\n%s", status, said)
		}
	})
	// What the room does not keep it tells of. The ramp makes sure that somebody is away for so
	// long.
	t.Run("little of it is kept", func(t *testing.T) {
		t.Parallel()
		res, status, said := againstGateway(t, "--history '*=messages:2'", append(slices.Clone(storm), "--ramp=60")...)
		if status != exitOK || res.Positions.Resets == 0 || res.Positions.Excused == 0 || res.Delivered+res.Positions.Excused != 400*60 ||
			!strings.Contains(said, "reset: too_old") {
			t.Errorf("exit status %d\n%s", status, said)
		}
	})
	t.Run("nothing is kept", func(t *testing.T) {
		t.Parallel()
		if _, status, said := againstGateway(t, "", append(slices.Clone(storm), "--loss-timeout=1s")...); status != exitUsage || !strings.Contains(said, "gateway --history") {
			t.Errorf("exit status %d\n%s", status, said)
		}
	})
}

func TestSubscribersOfTheGateway(t *testing.T) {
	t.Parallel() // It waits more than it works.
	// Each of ten rooms has half of the clients and 30 of the messages; readers of events are in
	// one each.
	for _, more := range [][]string{{"--format=json"}, {"--format=protobuf"}, {"--format=protobuf", "--compress"}} {
		t.Run(strings.Join(more, " "), func(t *testing.T) {
			t.Parallel()
			res, status, said := againstGateway(t, "--history '*=messages:500'", append(more, "--protocol=centrifuge", "--clients=60", "--sse=20", "--rooms=10",
				"--rooms-per-client=5", "--publishers=10", "--messages=300", "--window=4")...)
			if want := uint64(30 * (40*5 + 20)); status != exitOK || res.Delivered != want || res.Expected != want || !strings.Contains(said, "0 misplaced, 0 resets") {
				t.Errorf("exit status %d, %d of %d delivered\n%s", status, res.Delivered, res.Expected, said)
			}
		})
	}
	// Without a history there are no positions, and nothing to resume.
	res, status, said := againstGateway(t, "", "--protocol=centrifuge", "--clients=20", "--messages=100")
	if status != exitOK || res.Delivered != 100*20 {
		t.Errorf("exit status %d\n%s", status, said)
	}
}

func TestStormOfTheGatewaysSubscribersRecovers(t *testing.T) {
	t.Parallel()
	storm := []string{
		"--protocol=centrifuge", "--clients=60", "--rooms=4", "--rooms-per-client=2", "--publishers=4", "--storm=60%", "--resume", "--rate=200", "--messages=400",
	}
	t.Run("all of it is kept", func(t *testing.T) {
		t.Parallel() // It waits more than it works.
		res, status, said := againstGateway(t, "--history '*=messages:500'", storm...)
		if c := res.Crowd; status != exitOK || res.Delivered != 400*30 || c.Resumers != 36 || c.Returned != 36 || res.Positions.Resets > 0 ||
			c.CaughtUpSeconds < c.StormSeconds {
			t.Errorf("exit status %d\n%s", status, said)
		}
	})
	// What a room does not keep is told of. The ramp makes sure that somebody is away for so long.
	t.Run("little of it is kept", func(t *testing.T) {
		t.Parallel()
		res, status, said := againstGateway(t, "--history '*=messages:2'", append(slices.Clone(storm), "--ramp=60", "--format=protobuf")...)
		if status != exitOK || res.Positions.Resets == 0 || res.Positions.Excused == 0 || res.Delivered+res.Positions.Excused != 400*30 {
			t.Errorf("exit status %d\n%s", status, said)
		}
	})
}
