package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"

	gorilla "github.com/gorilla/websocket"

	"sluice/internal/browsertest"
)

// Clients of two libraries that compress, and plain ones, come and go while one room talks: all of
// them get the same messages.
func TestCompressedAndPlainClientsGetTheSameMessages(t *testing.T) {
	t.Parallel()
	const messages = 400
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	ctx, cancel := context.WithTimeout(t.Context(), 10*testenv.Patience)
	defer cancel()
	coder := func(mode websocket.CompressionMode) *websocket.Conn {
		c, r, err := websocket.Dial(ctx, "ws://"+addr+"/ws/r", &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Fatal(err)
		}
		if agreed := r.Header.Get("Sec-WebSocket-Extensions") != ""; agreed != (mode != websocket.CompressionDisabled) {
			t.Fatalf("mode %v: agreed %v", mode, agreed)
		}
		c.SetReadLimit(-1)
		t.Cleanup(func() { c.CloseNow() })
		return c
	}
	var wg sync.WaitGroup
	judge := func(name string, read func() ([]byte, error)) {
		wg.Go(func() {
			for i := range messages {
				if p, err := read(); err != nil || !bytes.Equal(p, wstest.Ticker(i)) {
					t.Errorf("%s: message %d is %d bytes, %v", name, i, len(p), err)
					return
				}
			}
		})
	}
	plain, takeover := coder(websocket.CompressionDisabled), coder(websocket.CompressionContextTakeover)
	noTakeover := coder(websocket.CompressionNoContextTakeover)
	for name, c := range map[string]*websocket.Conn{"plain": plain, "takeover": takeover, "no takeover": noTakeover} {
		judge(name, func() ([]byte, error) { _, p, err := c.Read(ctx); return p, err })
	}
	d := gorilla.Dialer{EnableCompression: true}
	g, _, err := d.Dial("ws://"+addr+"/ws/r", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	g.SetReadDeadline(time.Now().Add(10 * testenv.Patience))
	judge("gorilla", func() ([]byte, error) { _, p, err := g.ReadMessage(); return p, err })

	for i := range messages {
		sender := []*websocket.Conn{plain, takeover, noTakeover}[i%3]
		if err := sender.Write(ctx, websocket.MessageText, wstest.Ticker(i)); err != nil {
			t.Fatal(err)
		}
		// The next sender is on another connection: order among them is the gateway's, so wait for
		// each.
		testenv.Eventually(t, "it is published", func() bool { return testenv.StatsOf(t, s).Messages == uint64(i+1) })
		if i%10 == 3 { // Somebody looks in, of either kind.
			mode := []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionNoContextTakeover}[i/10%2]
			coder(mode).CloseNow()
		}
	}
	wg.Wait()
	if st := testenv.StatsOf(t, s); st.Deflated != messages {
		t.Errorf("deflated %d times for %d messages", st.Deflated, messages)
	}
}

func TestMessageIsDeflatedOnceForAThousandClients(t *testing.T) {
	t.Parallel()
	clients, messages := 100, 50
	if testenv.IsWholeSize(t) && !testenv.RaceEnabled {
		clients = 1000
	}
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	var all []*wstest.Client
	for range clients {
		all = append(all, wstest.JoinDeflated(t, addr, "/ws/r"))
	}
	for i := range messages {
		all[0].Send(wstest.Masked(ws.OpText, true, string(wstest.Ticker(i))))
	}
	wire := 0
	for _, c := range all {
		for i := range messages {
			f := c.Frame()
			if got := wstest.Inflated(t, f); f.Header.Rsv == 0 || got != string(wstest.Ticker(i)) {
				t.Fatalf("message %d: rsv %d, %q", i, f.Header.Rsv, wstest.Clip(got))
			}
			wire += len(f.Payload)
		}
	}
	st := testenv.StatsOf(t, s)
	if st.Deflated != uint64(messages) || st.Deliveries < uint64(clients*messages) {
		t.Errorf("deflated %d times for %d messages and %d deliveries", st.Deflated, messages, st.Deliveries)
	}
	share := float64(wire) / float64(clients*messages*len(wstest.Ticker(0)))
	t.Logf("%.0f %% of the bytes went over the wire; deflated %d messages of %d bytes to %d", 100*share, st.Deflated, st.DeflatedFrom, st.DeflatedTo)
	if share > 0.4 {
		t.Errorf("%.0f %% of the bytes went over the wire", 100*share)
	}
}

func TestRoomThatOptsOutAndGatewayThatDoesNotOffer(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.Rooms = []gateway.RoomRule{{Pattern: "raw.*", Plain: true}}
	_, addr := gatewaytest.Start(t, cfg)
	off := gatewaytest.Options()
	off.NoCompression = true
	_, addrOff := gatewaytest.Start(t, off)
	for _, to := range []struct{ addr, path string }{{addr, "/ws/raw.1"}, {addrOff, "/ws/r"}} {
		c := wstest.Connect(t, to.addr)
		c.Send(wstest.UpgradeHead(to.path, wstest.OfferDeflate))
		if r, _ := c.Response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Fatalf("%s: answered %d, extensions %q", to.path, r.StatusCode, r.Header.Get("Sec-WebSocket-Extensions"))
		}
		c.Send(wstest.MaskedDeflated(ws.OpText, wstest.Deflated("not agreed on")))
		c.ExpectClose(1002) // F02
	}
}

func TestZ07_Z08_Z11_OffersAtTheGateway(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for offer, want := range map[string]string{
		"permessage-deflate; client_max_window_bits=7":                     "",
		"permessage-deflate; server_max_window_bits=16":                    "",
		"permessage-deflate; unknown":                                      "",
		"permessage-deflate; server_max_window_bits=8, permessage-deflate": "permessage-deflate",
		"x-webkit-deflate-frame":                                           "",
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/r", "Sec-WebSocket-Extensions: "+offer))
		r, _ := c.Response()
		got, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Extensions"), ";")
		if r.StatusCode != 101 || got != want {
			t.Errorf("%s: answered %d with %q, want %q", offer, r.StatusCode, got, want)
		}
	}
	for _, malformed := range []string{";;", strings.Repeat(",", 100), "permessage-deflate; =10"} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/r", "Sec-WebSocket-Extensions: "+malformed))
		c.ExpectRefusal(400)
	}
}

func TestZ01_BombIsClosedWith1009(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	other := wstest.Join(t, addr, "/ws/r")
	bomb := wstest.Deflated(string(make([]byte, 64<<20)))
	before := testenv.LiveHeap()
	c := wstest.JoinDeflated(t, addr, "/ws/r")
	c.Send(wstest.MaskedDeflated(ws.OpBinary, bomb))
	c.ExpectClose(1009)
	c.Close()
	gatewaytest.ExpectClosed(t, s, gateway.ClosedTooBig, 1)
	if grew := testenv.LiveHeap() - before; grew > 2<<20 {
		t.Errorf("the heap grew by %d bytes", grew)
	}
	other.Send(wstest.MaskedText("still here"))
	other.ExpectFrame(ws.OpText, "still here")
}

func TestZ02_LimitIsOnTheInflatedMessage(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.MaxMessage = 1000
	_, addr := gatewaytest.Start(t, cfg)
	c := wstest.JoinDeflated(t, addr, "/ws/r")
	whole := strings.Repeat("x", 1000)
	c.Send(wstest.MaskedDeflated(ws.OpText, wstest.Deflated(whole)))
	if got := wstest.Inflated(t, c.Frame()); got != whole {
		t.Fatalf("got %d bytes", len(got))
	}
	for _, more := range []string{"x", "xx"} {
		c := wstest.JoinDeflated(t, addr, "/ws/r")
		c.Send(wstest.MaskedDeflated(ws.OpText, wstest.Deflated(whole+more)))
		c.ExpectClose(1009)
	}
}

func TestZ05_F03_BrokenStreamsAndBits(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	good := wstest.Deflated(strings.Repeat("good ", 100))
	for name, c := range map[string]struct {
		frame []byte
		code  ws.StatusCode
	}{
		"corrupt":                 {wstest.MaskedDeflated(ws.OpText, []byte{0xff, 0xff, 0xff}), 1007},
		"truncated":               {wstest.MaskedDeflated(ws.OpText, good[:len(good)/2]), 1007},
		"not UTF-8":               {wstest.MaskedDeflated(ws.OpText, wstest.Deflated("\xff")), 1007},
		"RSV1 on a ping":          {wstest.FrameBytes(0xC9, 0x80, wstest.ZeroMask), 1002},
		"RSV1 on a continuation":  {append(wstest.Masked(ws.OpText, false, "a"), wstest.FrameBytes(0xC0, 0x80, wstest.ZeroMask)...), 1002},
		"F03: RSV2":               {wstest.FrameBytes(0xA1, 0x80, wstest.ZeroMask), 1002},
		"F03: RSV3":               {wstest.FrameBytes(0x91, 0x80, wstest.ZeroMask), 1002},
		"F03: RSV1 and RSV2 both": {wstest.FrameBytes(0xE1, 0x80, wstest.ZeroMask), 1002},
	} {
		t.Run(name, func(t *testing.T) {
			k := wstest.JoinDeflated(t, addr, "/ws/r")
			k.Send(c.frame)
			k.ExpectClose(c.code)
		})
	}
}

func TestZ14_InflaterIsCleanAfterAnError(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for range 20 {
		bad := wstest.JoinDeflated(t, addr, "/ws/bad")
		bad.Send(wstest.MaskedDeflated(ws.OpText, append(wstest.Deflated(string(wstest.Ticker(9)))[:40], 0xff, 0xff)))
		bad.ExpectClose(1007)
		good := wstest.JoinDeflated(t, addr, "/ws/good")
		good.Send(wstest.MaskedDeflated(ws.OpText, wstest.Deflated(string(wstest.Ticker(3)))))
		if got := wstest.Inflated(t, good.Frame()); got != string(wstest.Ticker(3)) {
			t.Fatalf("got %q", wstest.Clip(got))
		}
	}
}

func TestChromiumNegotiatesCompression(t *testing.T) {
	t.Parallel()
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	browser := browsertest.Start(t)
	p := openPage(t, browser, "http://"+addr+"/#garden")
	said := strings.TrimSpace(strings.Repeat("a long story, told once for all, ", 30))
	script := fmt.Sprintf(`new Promise((resolve, reject) => {
		const s = new WebSocket("ws://" + location.host + "/ws/compressed");
		s.onopen = () => s.send(%q);
		s.onmessage = (e) => resolve(s.extensions + "|" + e.data);
		s.onerror = () => reject(new Error("it failed"));
	})`, said)
	ctx, cancel := context.WithTimeout(p.ctx, testenv.Patience)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	extensions, data, _ := strings.Cut(got, "|")
	if !strings.HasPrefix(extensions, "permessage-deflate") || data != said {
		t.Errorf("extensions %q; got back %q", extensions, wstest.Clip(data))
	}
	if st := testenv.StatsOf(t, s); st.Deflated == 0 {
		t.Error("nothing was deflated for it")
	}
}
