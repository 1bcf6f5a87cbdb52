package blackbox

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// residentPeak is the most memory that the gateway ever had resident, in bytes: VmHWM of
// proc_pid_status(5).
func residentPeak(p *proctest.Process) int64 {
	p.T.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		p.T.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		p.T.Fatalf("no VmHWM in\n%s", status)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		p.T.Fatal(err)
	}
	return kib << 10
}

// Clients that never read sit in rooms that are flooded with half as much again as GOMEMLIMIT
// allows, and the limits of backlogs, set far too high, would let all of it be kept. The process
// sheds instead, in order, and stays about as large as it may be. At full size it is 30 minutes of
// it; this is some seconds.
func TestE15_ProcessStaysWithinGOMEMLIMIT(t *testing.T) {
	t.Parallel()
	const (
		limit = 96 << 20
		rooms = 4
		size  = 16 << 10 // Segments of 256 KiB have little room to spare with these.
		mib   = 1 << 20 / size
	)
	cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--room-backlog=256MiB", "--backlog-memory=1GiB", "--stall-timeout=5m", "--ping-interval=5m")
	cmd.Env = append(cmd.Env, fmt.Sprintf("GOMEMLIMIT=%d", limit))
	p := proctest.Launch(t, cmd)
	var flooded []*wstest.Crowd
	var stalled []*wstest.Client
	for i := range rooms {
		path := fmt.Sprintf("/ws/flooded.%d", i)
		stalled = append(stalled, wstest.Join(t, p.Addr, path).Narrow())
		flooded = append(flooded, wstest.Gather(t, p.Addr, path, 2, size))
	}
	calm := wstest.Gather(t, p.Addr, "/ws/calm", 3, 100)
	flood := func(each int) {
		t.Helper()
		for range each {
			for _, c := range flooded {
				c.Publish(1)
			}
			calm.Publish(1)
		}
		for _, c := range append(flooded, calm) {
			c.HearAll()
		}
	}

	flood(13 * mib)
	var answers []string
	for n := 0; len(answers) == 0 || answers[len(answers)-1] != wsproto.ReasonMemory.String(); n++ {
		if n > 80 {
			t.Fatalf("no connection was refused; answers were %v\n%s", answers, p.Logged())
		}
		flood(mib / rooms)
		time.Sleep(200 * time.Millisecond) // in which memory is looked at twice
		switch a := wstest.Ask(t, p.Addr, fmt.Sprintf("/ws/new.%d", n)); {
		case a.IsIn():
			answers = append(answers, "in")
		case a.IsRefusal(wsproto.ReasonRoomMemory):
			answers = append(answers, wsproto.ReasonRoomMemory.String())
		case a.IsRefusal(wsproto.ReasonMemory):
			answers = append(answers, wsproto.ReasonMemory.String())
		default:
			t.Fatalf("answered with %+v", a)
		}
	}
	if order := slices.Compact(slices.Clone(answers)); !slices.Equal(order, []string{"in", "room_memory", "memory"}) {
		t.Errorf("whoever asked for new rooms was answered %v", answers)
	}
	flood(20 * mib)
	p.ExpectLog(`the slowest clients (overtaken)`)
	peak := residentPeak(p)
	t.Logf("%d MiB were published in each of %d rooms; at most %d MiB resident under a limit of %d; new rooms were answered %v",
		flooded[0].Sent/mib, rooms, peak>>20, limit>>20, answers)
	// What is not the runtime's, the program's own pages for one, is beside the limit; and the
	// limit is a soft one.
	if peak > limit+limit/4 {
		t.Errorf("%d bytes were resident", peak)
	}

	for _, c := range stalled {
		c.Close()
	}
	testenv.Eventually(t, "new connections and rooms are taken again", func() bool { return wstest.Ask(t, p.Addr, "/ws/new").IsIn() })
	p.ExpectLog(`there is memory (again)`)
	flood(1)
	if again := regexp.MustCompile(`closed for abuse|panic|cannot`).FindString(p.Logged()); again != "" {
		t.Errorf("%q is in the log:\n%s", again, p.Logged())
	}
}
