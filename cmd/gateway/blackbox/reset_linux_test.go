package blackbox

import (
	"flag"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

var faultsFull = flag.Bool("faults-full", false, "the tests of real faults with the numbers of the fault table, which are a fifth of it otherwise")

// The table has 200 of 1,000, which is what -faults-full does; 40 of 200 otherwise.
func TestK04_AFifthOfTheRoomResets(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	before := len(p.Descriptors())
	clients := 200
	if *faultsFull {
		clients = 1000
	}
	others := wstest.LoseAFifth(t, p.Addr, clients)
	p.ExpectDescriptors(before + clients - clients/5)
	others.Publish(40)
	others.HearAll()
}

// Data, then a reset, while the gateway stands still: it learns of both in one event (IN, RDHUP,
// ERR and HUP), from sockets that it has yet to accept too. Data may be handled or dropped, but
// only whole.
func TestK05_DataAndResetInOneEvent(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	before := len(p.Descriptors())
	witness := wstest.Join(t, p.Addr, "/ws")
	frame := wstest.MaskedText("half")
	sent := []struct {
		name   string
		isLate bool // connects while the gateway stands still
		bytes  []byte
	}{
		{"a message", false, wstest.MaskedText("whole")},
		{"half a message", false, frame[:len(frame)-2]},
		{"half a header", false, frame[:1]},
		{"a violation", false, wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask)},
		{"a ping", false, wstest.MaskedPing("p")},
		{"a close", false, wstest.MaskedClose(1000, "")},
		{"many messages", false, []byte(strings.Repeat(string(wstest.MaskedText("one of many")), 5_000))},
		{"an upgrade", true, wstest.UpgradeHead("/ws")},
		{"an upgrade and a message", true, append(wstest.UpgradeHead("/ws"), wstest.MaskedText("early")...)},
		{"half an upgrade", true, wstest.UpgradeHead("/ws")[:20]},
		{"a page", true, wstest.PlainGet("/")},
		{"nothing", true, nil},
	}
	const each = 3
	var early []*wstest.Client
	for range len(sent) * each {
		early = append(early, wstest.Join(t, p.Addr, "/ws"))
	}
	proctest.StopProcess(t, p.PID())
	for i, c := range early {
		s := sent[i%len(sent)]
		if s.isLate {
			c.Close()
			c = wstest.Connect(t, p.Addr)
		}
		c.TrySend(s.bytes)
		c.Reset()
	}
	proctest.ContinueProcess(t, p.PID())
	p.ExpectDescriptors(before + 1)

	witness.Send(wstest.MaskedText("end"))
	heard := map[string]int{}
	for heard["end"] == 0 {
		f := witness.Frame()
		if f.Header.OpCode != ws.OpText || !f.Header.Fin {
			t.Fatalf("got %s", wstest.Describe(f))
		}
		heard[string(f.Payload)]++
	}
	t.Logf("heard of those who were reset: %v", heard)
	most := map[string]int{"whole": each, "early": each, "one of many": each * 5_000, "end": 1}
	for message, n := range heard {
		if n > most[message] {
			t.Errorf("%q came %d times, was sent %d times", message, n, most[message])
		}
	}
}

// Somebody with the right to do so kills a connection from outside: ss -K, which makes the kernel
// abort it.
func TestK25_ConnectionKilledFromOutside(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ss"); err != nil {
		testenv.LeaveOut(t, "there is no ss (iproute2)")
	}
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	before := len(p.Descriptors())
	others := wstest.Gather(t, p.Addr, "/ws/stage", 3, 1<<10)
	victims := []*wstest.Client{wstest.Join(t, p.Addr, "/ws/stage"), wstest.Join(t, p.Addr, "/ws/stage").Narrow()}
	p.ExpectDescriptors(before + 5)
	others.Publish(20)
	for _, c := range victims {
		killSocket(t, c)
	}
	others.Publish(20)
	others.HearAll()
	p.ExpectDescriptors(before + 3)
	for _, c := range victims {
		if _, err := c.Rest(); err == nil {
			t.Error("its stream ended in order, want a reset")
		}
	}
}

// killSocket makes the kernel abort the gateway's end of a client's connection.
func killSocket(t *testing.T, c *wstest.Client) {
	t.Helper()
	_, server, _ := net.SplitHostPort(c.RemoteAddr().String())
	_, client, _ := net.SplitHostPort(c.LocalAddr().String())
	filter := fmt.Sprintf("sport = :%s and dport = :%s", server, client)
	out, err := exec.Command("ss", "-t", "-K", "-n", "-H", filter).CombinedOutput()
	if err != nil {
		t.Fatalf("ss -K: %v: %s", err, out)
	}
	// Without the right, or in a kernel without INET_DIAG_DESTROY, ss says nothing of it and lists
	// no socket.
	if !strings.Contains(string(out), ":"+client) {
		testenv.LeaveOut(t, "ss -K kills no socket here: it wants root and a kernel with INET_DIAG_DESTROY: %q", out)
	}
}
