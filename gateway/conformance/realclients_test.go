package conformance

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/realclients"
	"sluice/internal/testenv"
)

// tooMuch are ways to be closed in the middle of sending.
var tooMuch = []struct {
	name        string
	size, count int
	want        string
}{
	{"2 MiB", 2 << 20, 1, "closed 1009 message too big"},
	{"8 MiB", 8 << 20, 1, "closed 1009 message too big"},
	{"32 MiB", 32 << 20, 1, "closed 1009 message too big"},
	{"5,000 frames", 1 << 10, 5000, "closed 1008 too many frames"},
}

// rated are options under which 5,000 messages are too many. A client that sends on has the time to
// hear why it is closed, on however busy a machine.
func rated() gateway.Options {
	o := gatewaytest.Options()
	o.FrameRate, o.CloseTimeout = 100, testenv.Patience
	return o
}

// rounds is how often each is done.
func rounds(t *testing.T) int {
	if testenv.IsWholeSize(t) {
		return 15
	}
	return 1
}

func TestN30_RealClientsHearWhyTheyAreClosed(t *testing.T) {
	t.Parallel()
	_, addr := gatewaytest.Start(t, rated())
	for _, one := range realclients.All {
		t.Run(one.Name, func(t *testing.T) {
			c := one.Find(t)
			for _, much := range tooMuch {
				for range rounds(t) {
					if got := c.Send(t, "ws://"+addr+"/ws", much.size, much.count); got != much.want {
						t.Errorf("%s: %s, want %s", much.name, got, much.want)
					}
				}
			}
		})
	}
}

func TestN30_ChromiumHearsWhyItIsClosed(t *testing.T) {
	testenv.LeaveToCI(t, "42 MiB and 5,000 messages out of a browser take two seconds; other clients are told the same")
	t.Parallel()
	_, addr := gatewaytest.Start(t, rated())
	p := openPage(t, browsertest.Start(t), "http://"+addr+"/#other")
	for _, much := range tooMuch {
		t.Run(much.name, func(t *testing.T) {
			for range rounds(t) {
				got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf(`new Promise((done) => {
					const ws = new WebSocket("ws://%s/ws/r");
					ws.onclose = (e) => done("closed " + e.code + " " + e.reason);
					ws.onopen = () => { for (let i = 0; i < %d; i++) ws.send(new Uint8Array(%d)); };
				})`, addr, much.count, much.size), chromedp.EvalAwaitPromise))
				if err != nil || got != much.want {
					t.Errorf("%s, %v; want %s", got, err, much.want)
				}
			}
		})
	}
}

// N01, N05: real clients come with what they send of their own accord (the JDK's with a
// Content-Length: 0), and with a subprotocol without which most of them fail the connection.
func TestRealClientsVisit(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Subprotocols = []string{"mqtt"}
	_, addr := gatewaytest.Start(t, o)
	isWhole := testenv.IsWholeSize(t) // Small, each comes once: starting Java alone takes a second.
	for _, one := range realclients.Visitors {
		t.Run(one.Name, func(t *testing.T) {
			c := one.Find(t)
			if isWhole {
				expectVisit(t, c.Visit(t, "ws://"+addr+"/ws/"+one.Name))
			}
			expectVisit(t, c.Visit(t, "ws://"+addr+"/ws/"+one.Name, "mqtt"))
		})
	}
}

// expectVisit holds the last line of a client to an end in order.
func expectVisit(t *testing.T, got string) {
	t.Helper()
	if got != "closed 1000 bye" && got != "closed 1000" {
		t.Error(got)
	}
}

// Python's websockets fails the connection if the window that it asks for is not answered.
func TestN17_RealClientThatAsksForAWindowVisits(t *testing.T) {
	t.Parallel()
	client := realclients.Websockets(t)
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, bits := range []int{15, 14, 9} { // Those smaller than 15 are served without compression.
		before := testenv.StatsOf(t, s).Deflated
		expectVisit(t, client.With(fmt.Sprint("SERVER_MAX_WINDOW_BITS=", bits)).Visit(t, "ws://"+addr+"/ws/r"))
		if isDeflated := testenv.StatsOf(t, s).Deflated > before; isDeflated != (bits == 15) {
			t.Errorf("%d bits: deflated %t", bits, isDeflated)
		}
	}
}

// Random bytes, as many as a message may have, are more when a real client has compressed them.
func TestN18_RealClientsSendTheLargestRandomMessage(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	_, addr := gatewaytest.Start(t, o)
	for _, one := range realclients.All {
		t.Run(one.Name, func(t *testing.T) {
			c := one.Find(t)
			expectVisit(t, c.Echo(t, "ws://"+addr+"/ws/r", int(o.MaxMessage)))
			if got := c.Echo(t, "ws://"+addr+"/ws/r", int(o.MaxMessage)+1); got != "closed 1009 message too big" {
				t.Error("a byte more: ", got)
			}
		})
	}
}
