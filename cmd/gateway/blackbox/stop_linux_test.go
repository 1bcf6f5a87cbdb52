package blackbox

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// The gateway stands still for longer than it gives a client to answer a ping. When it goes on, its
// clients are as it left them, also one that had sent half of its handshake, and nothing of what
// was sent meanwhile is lost. The table's 10 s, with timeouts of 45 s, are 5 s with timeouts of 4 s
// here. There is one loop: one that waits for the half handshake alone cannot tell a pause from the
// end of its time.
func TestE09_StoppedGatewayKeepsItsClients(t *testing.T) {
	t.Parallel()
	const size, clients = 64, 20
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=1",
		"--ping-interval=1s", "--pong-timeout=3s", "--handshake-timeout=4s", "--stall-timeout=4s"))
	before := len(p.Descriptors())
	crowd := wstest.Gather(t, p.Addr, "/ws/stage", clients, size)
	crowd.Publish(20)
	crowd.HearAll()
	time.Sleep(1200 * time.Millisecond) // Some are pinged by now.
	half := wstest.Connect(t, p.Addr)
	head := wstest.UpgradeHead("/ws/late")
	half.Send(head[:len(head)/2])

	proctest.StopProcess(t, p.PID())
	crowd.Publish(20) // into the kernel's buffers
	time.Sleep(5 * time.Second)
	proctest.ContinueProcess(t, p.PID())

	crowd.HearAll()
	half.Send(head[len(head)/2:])
	half.ExpectUpgrade()
	time.Sleep(1500 * time.Millisecond) // Whoever were to be timed out for the pause would be by now.
	crowd.Publish(20)
	crowd.HearAll()
	half.ExpectFrame(ws.OpPing, "") // It answers none, so its turn comes next.
	if n := len(p.Descriptors()); n < before+clients {
		t.Errorf("%d descriptors, want at least %d", n, before+clients)
	}
}

// readerEnv makes the test binary a client that reads a crowd's messages, so that it can be stopped
// on its own.
const readerEnv = "SLUICE_TEST_READER"

func TestReaderProcess(t *testing.T) {
	var addr string
	var messages, size int
	if os.Getenv(readerEnv) == "" {
		return // Only of use as a child of the tests below.
	}
	if _, err := fmt.Sscan(os.Getenv(readerEnv), &addr, &messages, &size); err != nil {
		t.Fatal(err)
	}
	c := wstest.Join(t, addr, "/ws/stage")
	// Narrow, but not so narrow that a kernel with segments of 64 KiB waits for a probe of the
	// window again and again.
	if err := c.SetReadBuffer(512 << 10); err != nil {
		t.Fatal(err)
	}
	c.Wait = 2 * testenv.Patience
	fmt.Println("joined")
	got, err := readMessages(c.In, messages, size)
	fmt.Printf("read %d: %v\n", got, err)
}

// readMessages reads a crowd's messages from number 0 on, and reports how many were whole and in
// order.
func readMessages(in io.Reader, messages, size int) (got int, err error) {
	for ; got < messages; got++ {
		h, err := ws.ReadHeader(in)
		if err != nil {
			return got, err
		}
		p := make([]byte, h.Length)
		if _, err := io.ReadFull(in, p); err != nil {
			return got, err
		}
		if h.OpCode != ws.OpBinary || !wstest.IsMessage(p, uint64(got), size) {
			return got, fmt.Errorf("header %+v in place of message %d", h, got)
		}
	}
	return got, nil
}

// A readerProcess is a client on its own.
type readerProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	mu    sync.Mutex
	said  strings.Builder
	ended chan struct{}
}

// launchReader starts a client process and waits until it has joined.
func launchReader(t *testing.T, addr string, messages, size int) *readerProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestReaderProcess$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", readerEnv, addr, messages, size))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = testenv.LogTo(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &readerProcess{t: t, cmd: cmd, ended: make(chan struct{})}
	go r.collect(out)
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-r.ended })
	r.expectSaid("joined")
	return r
}

func (r *readerProcess) collect(out io.Reader) {
	defer close(r.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		r.mu.Lock()
		fmt.Fprintln(&r.said, lines.Text())
		r.mu.Unlock()
	}
	_ = r.cmd.Wait() // What it said is what counts.
}

// expectSaid waits for a line and returns its groups.
func (r *readerProcess) expectSaid(expression string) (groups []string) {
	r.t.Helper()
	re := regexp.MustCompile(expression)
	testenv.Eventually(r.t, "the reader says "+expression, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		groups = re.FindStringSubmatch(r.said.String())
		return groups != nil
	})
	return groups
}

// A client process stands still for 3 s while more is said than the kernel holds for it, and gets
// every byte when it goes on. The gap notice that the fault table asks for comes with resume;
// nothing is lost here, so there is nothing to note.
func TestK02_StoppedClientGetsEveryByte(t *testing.T) {
	t.Parallel()
	const size, during, after = 4 << 10, 1 << 10, 200 // 4 MiB while it stands still: a quarter of the backlog
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	reader := launchReader(t, p.Addr, 100+during+after, size)
	others := wstest.Gather(t, p.Addr, "/ws/stage", 4, size)
	others.Publish(100)
	stopped := time.Now()
	proctest.StopProcess(t, reader.cmd.Process.Pid) // in the middle of the flow: it may or may not have had these
	others.Publish(during)
	others.HearAll() // They do not wait for it.
	time.Sleep(time.Until(stopped.Add(3 * time.Second)))
	proctest.ContinueProcess(t, reader.cmd.Process.Pid)
	others.Publish(after)
	reader.expectSaid(fmt.Sprintf("read %d: <nil>", 100+during+after))
	others.HearAll()
}

// One that stands still for longer than --stall-timeout is closed: 2 s here in place of the table's
// 60.
func TestK02_ClientStoppedBeyondTheStallTimeoutIsClosed(t *testing.T) {
	t.Parallel()
	const size, messages = 4 << 10, 2 << 10
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--stall-timeout=2s"))
	before := len(p.Descriptors())
	reader := launchReader(t, p.Addr, messages, size)
	others := wstest.Gather(t, p.Addr, "/ws/stage", 4, size)
	p.ExpectDescriptors(before + 5)
	proctest.StopProcess(t, reader.cmd.Process.Pid)
	others.Publish(messages)
	others.HearAll()
	p.ExpectDescriptors(before + 4)
	proctest.ContinueProcess(t, reader.cmd.Process.Pid)
	if got := reader.expectSaid(`read (\d+): (.*)`); got[2] == "<nil>" {
		t.Errorf("it got all %s messages", got[1])
	} else {
		t.Logf("it got %s messages of %d, then: %s", got[1], messages, got[2])
	}
	others.Publish(100)
	others.HearAll()
}
