package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// shiftEnv names a file with the seconds by which a gateway that buildShifted made believes its
// wall clock to be ahead.
const shiftEnv = "SLUICE_TEST_CLOCK"

// shiftOf is appended to the source of package time. Now is called by the scheduler too, where no
// system call may be made, so somebody else reads the file.
const shiftOf = `
var wallShift atomic.Int64

func init() {
	path, ok := syscall.Getenv("` + shiftEnv + `")
	if !ok {
		return
	}
	go func() {
		for ; ; Sleep(5 * Millisecond) {
			fd, err := open(path)
			if err != nil {
				continue
			}
			digits := make([]byte, 32)
			n, _ := read(fd, digits)
			closefd(fd)
			if shift, err := atoi(digits[:n]); n > 0 && err == nil {
				wallShift.Store(int64(shift))
			}
		}
	}()
}
`

// buildShifted builds the gateway with a package time whose wall clock can be set while it runs;
// nothing can be done to the machine's without harm to all else that runs there. It is what a clock
// that is set looks like to a Go program: time.Now's reading of the wall clock moves, its monotonic
// reading and the runtime's timers do not, which the kernel keeps on CLOCK_MONOTONIC,
// clock_gettime(2). That nothing reads the wall clock past package time, or gives up a monotonic
// reading, is for TestE07_NobodyGoesByTheWallClock in the root to say.
func buildShifted(t *testing.T) (path string) {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		testenv.LeaveOut(t, "there is no source of package time: %v", err)
	}
	text := string(source)
	for _, edit := range [][2]string{
		{"import (", "import (\n\t\"sync/atomic\"\n\t\"syscall\""},
		{"sec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}", "sec, nsec, mono := runtimeNow()\n\tsec += wallShift.Load()\n\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}"},
	} {
		if strings.Count(text, edit[0]) != 1 {
			testenv.LeaveOut(t, "this version of Go tells the time in another way: %q", edit[0])
		}
		text = strings.Replace(text, edit[0], edit[1], 1)
	}
	dir := t.TempDir()
	changed, listed, path := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "gateway")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string][]byte{changed: []byte(text + shiftOf), listed: list} {
		if err := os.WriteFile(name, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // All of the standard library, the first time.
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-overlay", listed, "-o", path, "sluice/cmd/gateway").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// The wall clock leaps an hour ahead and then back to yesterday. No timeout fires for it, and none
// fails to; everything goes on, and the log's stamps are all that shows it.
func TestE07_WallClockLeapsAndNothingHappens(t *testing.T) {
	testenv.LeaveToCI(t, "a standard library of its own is built for it")
	const handshake, size = time.Second, 64 << 10
	path, clock := buildShifted(t), filepath.Join(t.TempDir(), "clock")
	cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--allow-host=sluice.test", fmt.Sprintf("--handshake-timeout=%v", handshake),
		"--assembly-timeout=20m", "--ping-interval=20m", "--pong-timeout=20m", "--stall-timeout=20m", "--skip-timeout=20m", "--message-rate=100")
	cmd.Path, cmd.Args[0] = path, path
	cmd.Env = append(cmd.Env, shiftEnv+"="+clock, "GOMEMLIMIT=1GiB")
	p := proctest.Launch(t, cmd)
	defer func() {
		if t.Failed() {
			t.Log(p.Logged())
		}
	}()

	page := wstest.Connect(t, p.Addr)
	dateOf(page) // It is kept alive from here on.
	idle, unfinished := wstest.Join(t, p.Addr, "/ws/r"), wstest.Join(t, p.Addr, "/ws/r", wstest.Masked(ws.OpText, false, "begun before, "))
	talker, stalled := wstest.Join(t, p.Addr, "/ws/large"), wstest.Join(t, p.Addr, "/ws/large").Narrow()
	for _, c := range []*wstest.Client{page, idle, unfinished, talker, stalled} {
		c.Wait = 2 * testenv.Patience
	}
	said := uint64(0)
	talk := func(n int) {
		for range n {
			talker.Send(wstest.Masked(ws.OpBinary, true, string(wstest.Message(said, size))))
			if f := talker.Frame(); !wstest.IsMessage(f.Payload, said, size) {
				t.Fatalf("got %s in place of message %d", wstest.Describe(f), said)
			}
			said++
		}
	}
	talk(64) // 4 MiB: more than the kernel takes for one that does not read.
	for _, shift := range []time.Duration{0, time.Hour, -24 * time.Hour} {
		head, begun := wstest.Connect(t, p.Addr), time.Now()
		head.Send([]byte("GET /ws/r HTTP/1.1\r\n"))
		if err := os.WriteFile(clock, fmt.Append(nil, int(shift.Seconds())), 0o600); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, fmt.Sprintf("its clock is shifted by %v", shift), func() bool { return (time.Until(dateOf(page)) - shift).Abs() < time.Minute })
		testenv.Eventually(t, fmt.Sprintf("a line with the stamp of %v", shift), func() bool {
			time.Sleep(50 * time.Millisecond)
			if a := wstest.Ask(t, p.Addr, "/ws/%20"); a.Status != http.StatusBadRequest {
				t.Fatalf("a bad room name: %+v", a)
			}
			return strings.Contains(lastLine(p.Logged(), "reason=room_name"), "time="+time.Now().Add(shift).Format("2006-01-02T15:"))
		})
		text := fmt.Sprintf("at %v", shift)
		for range 5 {
			idle.Send(wstest.MaskedText(text))
			idle.ExpectFrame(ws.OpText, text)
			unfinished.ExpectFrame(ws.OpText, text)
		}
		talk(1)
		if head.ExpectRefusal(http.StatusRequestTimeout); time.Since(begun) < handshake/2 {
			t.Errorf("at %v a request head had %v, not %v", shift, time.Since(begun), handshake)
		}
	}
	unfinished.Send(wstest.Masked(ws.OpContinuation, true, "ended after"))
	for _, c := range []*wstest.Client{idle, unfinished} {
		c.ExpectFrame(ws.OpText, "begun before, ended after")
	}
	for seq := range said {
		if f := stalled.Frame(); !wstest.IsMessage(f.Payload, seq, size) {
			t.Fatalf("the stalled client got %s in place of message %d", wstest.Describe(f), seq)
		}
	}
	page.Close()
	p.Signal(syscall.SIGTERM)
	for _, c := range []*wstest.Client{idle, unfinished, talker, stalled} {
		c.ExpectClose(1001)
		c.Close()
	}
	p.ExpectExit(0)
}

// dateOf asks for a page and returns its Date.
func dateOf(page *wstest.Client) time.Time {
	page.T.Helper()
	page.Send(wstest.PlainGet("/"))
	r, _ := page.Response()
	date, err := http.ParseTime(r.Header.Get("Date"))
	if r.StatusCode != http.StatusOK || err != nil {
		page.T.Fatalf("%s, dated %q: %v", r.Status, r.Header.Get("Date"), err)
	}
	return date
}

// lastLine is the last one that contains the words.
func lastLine(text, words string) (last string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			last = line
		}
	}
	return last
}
