package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// exhaustDescriptors sets a running process's RLIMIT_NOFILE so that it can open no more than it has, and returns how to set it back.
func (p *process) exhaustDescriptors() (relieve func()) {
	p.t.Helper()
	free := 0
	for _, fd := range p.descriptors() {
		if fd != free {
			break
		}
		free++
	}
	var was unix.Rlimit
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, nil, &was); err != nil {
		p.t.Fatal(err)
	}
	// The lowest number that is free is the one that the next descriptor would get.
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: was.Max}, nil); err != nil {
		p.t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &was, nil); err != nil {
			p.t.Fatal(err)
		}
	}
}

// Three connections wait while the gateway has no descriptor for them. It does not spin meanwhile, serves those it has, and takes
// the three when others leave, although no new connection comes to wake it.
func TestK14_NoDescriptorsForThreeThatWait(t *testing.T) {
	t.Parallel()
	p := launch(t, command(t, "--listen=127.0.0.1:0", "--loops=2"))
	here := []*rawClient{join(t, p.addr, "/ws"), join(t, p.addr, "/ws"), join(t, p.addr, "/ws"), join(t, p.addr, "/ws")}
	p.exhaustDescriptors()
	var waiting []*rawClient
	for range 3 {
		c := connect(t, p.addr)
		c.send(upgradeHead("/ws"), maskedText("at last"))
		waiting = append(waiting, c)
	}
	p.expectLog("cannot accept connections")

	const share = 25 // of one processor, in per cent: the table says 5, on a machine of its own
	before := processorTicks(t, p.pid())
	time.Sleep(time.Second)
	used := processorTicks(t, p.pid()) - before
	t.Logf("%d %% of a processor while three wait", used)
	if used > share {
		t.Errorf("%d %% of a processor, want at most %d", used, share)
	}
	here[0].send(maskedText("still served"))
	for _, c := range here {
		c.expectFrame(ws.OpText, "still served")
	}
	if n := strings.Count(p.logged(), "cannot accept connections"); n > 20 {
		t.Errorf("%d lines in the log", n)
	}

	for _, c := range here[1:] {
		c.Close()
	}
	start := time.Now()
	for _, c := range waiting {
		c.expectUpgrade()
	}
	t.Logf("served %v after three left", time.Since(start))
	waiting[2].send(maskedText("end"))
	for f := waiting[0].frame(); string(f.Payload) != "end"; f = waiting[0].frame() {
		if string(f.Payload) != "at last" {
			t.Fatalf("got %s", describe(f))
		}
	}
}

// Relief from outside: the limit is raised, nobody leaves.
func TestK14_DescriptorLimitIsRaised(t *testing.T) {
	t.Parallel()
	p := launch(t, command(t, "--listen=127.0.0.1:0", "--loops=1"))
	relieve := p.exhaustDescriptors()
	c := connect(t, p.addr)
	c.send(upgradeHead("/ws"), maskedText("at last"))
	p.expectLog("cannot accept connections")
	relieve()
	c.expectUpgrade()
	c.expectFrame(ws.OpText, "at last")
}

// A second instance on the same port says so in one line and ends with status 1; the first one does not notice.
func TestK22_SecondInstanceOnTheSamePort(t *testing.T) {
	t.Parallel()
	first := launch(t, command(t, "--listen=127.0.0.1:0"))
	c := join(t, first.addr, "/ws")
	status, stdout, stderr := outcome(t, command(t, "--listen="+first.addr, "--max-connections=10"))
	if status != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "address already in use") {
		t.Errorf("status %d, stdout %q, stderr %q; want 1, nothing, and one line with the reason", status, stdout, stderr)
	}
	c.send(maskedText("unharmed"))
	c.expectFrame(ws.OpText, "unharmed")
	join(t, first.addr, "/ws").Close()
}

// E16 for a limit that the gateway may raise itself: the soft one is low, the hard one is not.
func TestE16_SoftDescriptorLimitIsRaised(t *testing.T) {
	t.Parallel()
	cmd := command(t, "--listen=127.0.0.1:0", "--max-connections=300", "--max-http-connections=16")
	underLimit(t, cmd, "ulimit -S -n 100")
	p := launch(t, cmd)
	var in []*rawClient
	for range 150 {
		in = append(in, join(t, p.addr, "/ws"))
	}
	in[0].send(maskedText("all are in"))
	in[149].expectFrame(ws.OpText, "all are in")
	if strings.Contains(p.logged(), "lowering") {
		t.Errorf("lowered --max-connections:\n%s", p.logged())
	}
}

// E16 at the edge: not even one connection fits beside what the gateway itself needs. It says so and serves that one, or none, but
// does not fail later.
func TestE16_HardlyAnyDescriptors(t *testing.T) {
	t.Parallel()
	cmd := command(t, "--listen=127.0.0.1:0")
	underLimit(t, cmd, "ulimit -n 40")
	p := launch(t, cmd)
	if to := p.expectLog(`lowering --max-connections.* to=(\d+) descriptors=40`); to != "1" {
		t.Errorf("lowered to %s, want 1", to)
	}
	c := join(t, p.addr, "/ws", maskedText("the only one"))
	c.expectFrame(ws.OpText, "the only one")
	second := connect(t, p.addr)
	second.trySend(upgradeHead("/ws"))
	if r, _ := second.response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the second got %s", r.Status)
	}
	c.send(maskedText("still here"))
	c.expectFrame(ws.OpText, "still here")
}
