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

// rated are options under which 5,000 messages are too many.
func rated() gateway.Options {
	o := gatewaytest.Options()
	o.FrameRate = 100
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
	clients, n := realclients.All(t), rounds(t)
	_, addr := gatewaytest.Start(t, rated())
	for _, c := range clients {
		for _, much := range tooMuch {
			t.Run(c.Name+"/"+much.name, func(t *testing.T) {
				for range n {
					if got := c.Send(t, "ws://"+addr+"/ws", much.size, much.count); got != much.want {
						t.Errorf("%s, want %s", got, much.want)
					}
				}
			})
		}
	}
}

func TestN30_ChromiumHearsWhyItIsClosed(t *testing.T) {
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

func TestRealClientsVisit(t *testing.T) {
	t.Parallel()
	clients := realclients.All(t)
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, c := range clients {
		t.Run(c.Name, func(t *testing.T) {
			if got := c.Visit(t, "ws://"+addr+"/ws/"+c.Name); got != "closed 1000 bye" && got != "closed 1000" {
				t.Error(got)
			}
		})
	}
	gatewaytest.ExpectClosed(t, s, gateway.ClosedByPeer, uint64(len(clients)))
}
