package blackbox

import (
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// exhaustDescriptors sets a running process's RLIMIT_NOFILE so that it can open no more than it
// has, and returns how to set it back.
func exhaustDescriptors(p *proctest.Process) (relieve func()) {
	p.T.Helper()
	free := 0
	for _, fd := range p.Descriptors() {
		if fd != free {
			break
		}
		free++
	}
	var was unix.Rlimit
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, nil, &was); err != nil {
		p.T.Fatal(err)
	}
	// The lowest number that is free is the one that the next descriptor would get.
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: was.Max}, nil); err != nil {
		p.T.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, &was, nil); err != nil {
			p.T.Fatal(err)
		}
	}
}

// Three connections wait while the gateway has no descriptor for them. It does not spin meanwhile,
// serves those it has, and takes the three when others leave, although no new connection comes to
// wake it.
func TestK14_NoDescriptorsForThreeThatWait(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	here := []*wstest.Client{wstest.Join(t, p.Addr, "/ws"), wstest.Join(t, p.Addr, "/ws"), wstest.Join(t, p.Addr, "/ws"), wstest.Join(t, p.Addr, "/ws")}
	exhaustDescriptors(p)
	var waiting []*wstest.Client
	for range 3 {
		c := wstest.Connect(t, p.Addr)
		c.Send(wstest.UpgradeHead("/ws"), wstest.MaskedText("at last"))
		waiting = append(waiting, c)
	}
	p.ExpectLog("cannot accept connections")

	const share = 25 // of one processor, in per cent: the table says 5, on a machine of its own
	before := proctest.ProcessorTicks(t, p.PID())
	time.Sleep(time.Second)
	used := proctest.ProcessorTicks(t, p.PID()) - before
	t.Logf("%d %% of a processor while three wait", used)
	if used > share {
		t.Errorf("%d %% of a processor, want at most %d", used, share)
	}
	here[0].Send(wstest.MaskedText("still served"))
	for _, c := range here {
		c.ExpectFrame(ws.OpText, "still served")
	}
	if n := strings.Count(p.Logged(), "cannot accept connections"); n > 20 {
		t.Errorf("%d lines in the log", n)
	}

	for _, c := range here[1:] {
		c.Close()
	}
	start := time.Now()
	for _, c := range waiting {
		c.ExpectUpgrade()
	}
	t.Logf("served %v after three left", time.Since(start))
	waiting[2].Send(wstest.MaskedText("end"))
	for f := waiting[0].Frame(); string(f.Payload) != "end"; f = waiting[0].Frame() {
		if string(f.Payload) != "at last" {
			t.Fatalf("got %s", wstest.Describe(f))
		}
	}
}

// Relief from outside: the limit is raised, nobody leaves.
func TestK14_DescriptorLimitIsRaised(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=1"))
	relieve := exhaustDescriptors(p)
	c := wstest.Connect(t, p.Addr)
	c.Send(wstest.UpgradeHead("/ws"), wstest.MaskedText("at last"))
	p.ExpectLog("cannot accept connections")
	relieve()
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "at last")
}

// A second instance on the same port says so in one line and ends with status 1; the first one does
// not notice.
func TestK22_SecondInstanceOnTheSamePort(t *testing.T) {
	t.Parallel()
	first := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0"))
	c := wstest.Join(t, first.Addr, "/ws")
	status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "--listen="+first.Addr, "--max-connections=10"))
	if status != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "address already in use") {
		t.Errorf("status %d, stdout %q, stderr %q; want 1, nothing, and one line with the reason", status, stdout, stderr)
	}
	c.Send(wstest.MaskedText("unharmed"))
	c.ExpectFrame(ws.OpText, "unharmed")
	wstest.Join(t, first.Addr, "/ws").Close()
}

// E16 for a limit that the gateway may raise itself: the soft one is low, the hard one is not.
func TestE16_SoftDescriptorLimitIsRaised(t *testing.T) {
	t.Parallel()
	cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--max-connections=300", "--max-http-connections=16")
	proctest.UnderLimit(t, cmd, "ulimit -S -n 100")
	p := proctest.Launch(t, cmd)
	var in []*wstest.Client
	for range 150 {
		in = append(in, wstest.Join(t, p.Addr, "/ws"))
	}
	in[0].Send(wstest.MaskedText("all are in"))
	in[149].ExpectFrame(ws.OpText, "all are in")
	if strings.Contains(p.Logged(), "lowering") {
		t.Errorf("lowered --max-connections:\n%s", p.Logged())
	}
}

// E16 at the edge, N45: hardly any connection fits beside what the gateway itself needs, so it does
// not start and names the limit and the remedy; where some fit but few it serves them, and warns.
// Relatives: a --max-connections that is as small is met, and not worth a word.
func TestE16_N45_HardlyAnyDescriptors(t *testing.T) {
	t.Parallel()
	limited := func(descriptors int, flags ...string) *exec.Cmd {
		cmd := proctest.Command(t, append(flags, "--listen=127.0.0.1:0")...)
		proctest.UnderLimit(t, cmd, fmt.Sprintf("ulimit -n %d", descriptors))
		return cmd
	}
	status, _, stderr := proctest.Outcome(t, limited(24))
	if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "limit of 24 descriptors") || !strings.Contains(stderr, "ulimit -n") {
		t.Errorf("with 24: status %d, %q; want 1 and the remedy in a line", status, stderr)
	}
	between := proctest.Command(t, "--listen=127.0.0.1:0") // Some fit or hardly any, but it is said.
	proctest.UnderLimit(t, between, `ulimit -n 64 && exec timeout 1 "$0" "$@"`)
	if _, _, stderr := proctest.Outcome(t, between); !regexp.MustCompile(`level=(WARN|ERROR) .*64.* hint="raise it with ulimit -n`).MatchString(stderr) {
		t.Errorf("with 64: %q; want a warning or an error, and the remedy", stderr)
	}
	p := proctest.Launch(t, limited(200, "--max-http-connections=16"))
	p.ExpectLog(`level=WARN msg="lowering --max-connections.* descriptors=200 hint="raise it with ulimit -n`)
	a, b := wstest.Join(t, p.Addr, "/ws"), wstest.Join(t, p.Addr, "/ws", wstest.MaskedText("some fit"))
	a.ExpectFrame(ws.OpText, "some fit")
	b.ExpectFrame(ws.OpText, "some fit")

	p = proctest.Launch(t, limited(100, "--max-http-connections=1", "--max-connections=2"))
	wstest.Join(t, p.Addr, "/ws", wstest.MaskedText("enough")).ExpectFrame(ws.OpText, "enough")
	if strings.Contains(p.Logged(), "lowering") {
		t.Errorf("warned of what was asked for:\n%s", p.Logged())
	}
}

// Where there are few descriptors, most are for connections: what is kept for net/http is a share
// of them. All fit, and among them as many as may be ordinary HTTP.
func TestN80_FewDescriptorsAreMostlyForConnections(t *testing.T) {
	t.Parallel()
	cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2")
	proctest.UnderLimit(t, cmd, "ulimit -n 256")
	p := proctest.Launch(t, cmd)
	room, err := strconv.Atoi(p.ExpectLog(`lowering --max-connections.* to=(\d+) descriptors=256`))
	if err != nil || room < 180 {
		t.Fatalf("room for %d connections of 256 descriptors, %v", room, err)
	}
	var sockets []*wstest.Client
	for range room / 2 {
		sockets = append(sockets, wstest.Join(t, p.Addr, "/ws"))
	}
	for range room - room/2 { // Each stays with net/http.
		c := wstest.Connect(t, p.Addr)
		c.Send(wstest.PlainGet("/livez"))
		if r, _ := c.Response(); r.StatusCode != http.StatusOK {
			t.Fatalf("answered with %s", r.Status)
		}
	}
	more := wstest.Connect(t, p.Addr)
	more.TrySend(wstest.UpgradeHead("/ws"))
	if r, _ := more.Response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many got %s", r.Status)
	}
	sockets[0].Send(wstest.MaskedText("all are in"))
	sockets[len(sockets)-1].ExpectFrame(ws.OpText, "all are in")
	if n := len(p.Descriptors()); n > 256-8 {
		t.Errorf("%d descriptors are open, of 256", n)
	}
}
