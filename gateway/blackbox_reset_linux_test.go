package gateway

import (
	"flag"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

var faultsFull = flag.Bool("faults-full", false, "the tests of real faults with the numbers of the fault table, which are a fifth of it otherwise")

// The table has 200 of 1,000, which is what -faults-full does; 40 of 200 otherwise.
func TestK04_AFifthOfTheRoomResets(t *testing.T) {
	t.Parallel()
	p := Launch(t, Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	before := len(p.Descriptors())
	clients := 200
	if *faultsFull {
		clients = 1000
	}
	others := LoseAFifth(t, p.Addr, clients)
	p.ExpectDescriptors(before + clients - clients/5)
	others.Publish(40)
	others.HearAll()
}

// Data, then a reset, while the gateway stands still: it learns of both in one event (IN, RDHUP, ERR and HUP), from sockets that it
// has yet to accept too. Data may be handled or dropped, but only whole.
func TestK05_DataAndResetInOneEvent(t *testing.T) {
	t.Parallel()
	p := Launch(t, Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	before := len(p.Descriptors())
	witness := Join(t, p.Addr, "/ws")
	frame := MaskedText("half")
	sent := []struct {
		name   string
		isLate bool // connects while the gateway stands still
		bytes  []byte
	}{
		{"a message", false, MaskedText("whole")},
		{"half a message", false, frame[:len(frame)-2]},
		{"half a header", false, frame[:1]},
		{"a violation", false, FrameBytes(0x83, 0x80, ZeroMask)},
		{"a ping", false, MaskedPing("p")},
		{"a close", false, MaskedClose(1000, "")},
		{"many messages", false, []byte(strings.Repeat(string(MaskedText("one of many")), 5_000))},
		{"an upgrade", true, UpgradeHead("/ws")},
		{"an upgrade and a message", true, append(UpgradeHead("/ws"), MaskedText("early")...)},
		{"half an upgrade", true, UpgradeHead("/ws")[:20]},
		{"a page", true, PlainGet("/")},
		{"nothing", true, nil},
	}
	const each = 3
	var early []*Client
	for range len(sent) * each {
		early = append(early, Join(t, p.Addr, "/ws"))
	}
	StopProcess(t, p.PID())
	for i, c := range early {
		s := sent[i%len(sent)]
		if s.isLate {
			c.Close()
			c = Connect(t, p.Addr)
		}
		c.TrySend(s.bytes)
		c.Reset()
	}
	ContinueProcess(t, p.PID())
	p.ExpectDescriptors(before + 1)

	witness.Send(MaskedText("end"))
	heard := map[string]int{}
	for heard["end"] == 0 {
		f := witness.Frame()
		if f.Header.OpCode != ws.OpText || !f.Header.Fin {
			t.Fatalf("got %s", Describe(f))
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

// Somebody with the right to do so kills a connection from outside: ss -K, which makes the kernel abort it.
func TestK25_ConnectionKilledFromOutside(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ss"); err != nil {
		LeaveOut(t, "there is no ss (iproute2)")
	}
	p := Launch(t, Command(t, "--listen=127.0.0.1:0", "--loops=2"))
	before := len(p.Descriptors())
	others := Gather(t, p.Addr, "/ws/stage", 3, 1<<10)
	victims := []*Client{Join(t, p.Addr, "/ws/stage"), Join(t, p.Addr, "/ws/stage").Narrow()}
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

// killSocket has the kernel abort the gateway's end of a client's connection.
func killSocket(t *testing.T, c *Client) {
	t.Helper()
	_, server, _ := net.SplitHostPort(c.RemoteAddr().String())
	_, client, _ := net.SplitHostPort(c.LocalAddr().String())
	filter := fmt.Sprintf("sport = :%s and dport = :%s", server, client)
	out, err := exec.Command("ss", "-t", "-K", "-n", "-H", filter).CombinedOutput()
	if err != nil {
		t.Fatalf("ss -K: %v: %s", err, out)
	}
	// Without the right, or in a kernel without INET_DIAG_DESTROY, ss says nothing of it and lists no socket.
	if !strings.Contains(string(out), ":"+client) {
		LeaveOut(t, "ss -K kills no socket here: it wants root and a kernel with INET_DIAG_DESTROY: %q", out)
	}
}
