package gateway

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"

	"sluice/internal/browsertest"
	"sluice/wsproto"
)

const offerDeflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// deflated is p as a client sends it, by the standard library.
func deflated(p string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = io.WriteString(w, p)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// maskedDeflated is a whole compressed message, of bytes that are deflated already.
func maskedDeflated(op ws.OpCode, payload []byte) []byte {
	f := ws.NewFrame(op, true, append([]byte(nil), payload...))
	f.Header.Rsv = ws.Rsv(true, false, false)
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{0x37, 0xfa, 0x21, 0x3d}))
}

// inflated is the payload of a frame, by the standard library.
func inflated(t testing.TB, f ws.Frame) string {
	t.Helper()
	if f.Header.Rsv == 0 {
		return string(f.Payload)
	}
	tail := []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff} // what was cut off, and an end
	p, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(f.Payload), bytes.NewReader(tail))))
	if err != nil {
		t.Fatalf("a compressed frame of %d bytes: %v", len(f.Payload), err)
	}
	return string(p)
}

// joinDeflated opens a raw connection that has agreed to compression.
func joinDeflated(t testing.TB, addr, path string) *rawClient {
	t.Helper()
	c := connect(t, addr)
	c.send(upgradeHead(path, offerDeflate))
	r, _ := c.response()
	if got := r.Header.Get("Sec-WebSocket-Extensions"); r.StatusCode != 101 || !strings.HasPrefix(got, "permessage-deflate") {
		t.Fatalf("answered %d with extensions %q", r.StatusCode, got)
	}
	c.deflates = true
	return c
}

// ticker is a message as dashboards get them, of about 1 KiB.
func ticker(i int) []byte {
	type quote struct {
		Symbol   string
		Bid, Ask float64
		Volume   int
	}
	var all []quote
	for k := range 16 {
		all = append(all, quote{fmt.Sprintf("SYM%02d", k), 100 + float64(i%97)/8, 101 + float64(i%89)/8, i * k})
	}
	p, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return p
}

// Clients of two libraries that compress, and plain ones, come and go while one room talks: all of them get the same messages.
func TestCompressedAndPlainClientsGetTheSameMessages(t *testing.T) {
	const messages = 400
	s, addr := startGateway(t, testConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
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
				if p, err := read(); err != nil || !bytes.Equal(p, ticker(i)) {
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
	g.SetReadDeadline(time.Now().Add(10 * patience))
	judge("gorilla", func() ([]byte, error) { _, p, err := g.ReadMessage(); return p, err })

	for i := range messages {
		sender := []*websocket.Conn{plain, takeover, noTakeover}[i%3]
		if err := sender.Write(ctx, websocket.MessageText, ticker(i)); err != nil {
			t.Fatal(err)
		}
		// The next sender is on another connection: order among them is the gateway's, so wait for each.
		eventually(t, "it is published", func() bool { return statsOf(t, s).Messages == uint64(i+1) })
		if i%10 == 3 { // Somebody looks in, of either kind.
			mode := []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionNoContextTakeover}[i/10%2]
			coder(mode).CloseNow()
		}
	}
	wg.Wait()
	if st := statsOf(t, s); st.Deflated != messages {
		t.Errorf("deflated %d times for %d messages", st.Deflated, messages)
	}
}

func TestMessageIsDeflatedOnceForAThousandClients(t *testing.T) {
	clients, messages := 100, 50
	if isWholeSize(t) && !raceEnabled {
		clients = 1000
	}
	s, addr := startGateway(t, testConfig())
	var all []*rawClient
	for range clients {
		all = append(all, joinDeflated(t, addr, "/ws/r"))
	}
	for i := range messages {
		all[0].send(masked(ws.OpText, true, string(ticker(i))))
	}
	wire := 0
	for _, c := range all {
		for i := range messages {
			f := c.frame()
			if got := inflated(t, f); f.Header.Rsv == 0 || got != string(ticker(i)) {
				t.Fatalf("message %d: rsv %d, %q", i, f.Header.Rsv, clip(got))
			}
			wire += len(f.Payload)
		}
	}
	st := statsOf(t, s)
	if st.Deflated != uint64(messages) || st.Deliveries < uint64(clients*messages) {
		t.Errorf("deflated %d times for %d messages and %d deliveries", st.Deflated, messages, st.Deliveries)
	}
	share := float64(wire) / float64(clients*messages*len(ticker(0)))
	t.Logf("%.0f %% of the bytes went over the wire; deflated %d messages of %d bytes to %d", 100*share, st.Deflated, st.DeflatedFrom, st.DeflatedTo)
	if share > 0.4 {
		t.Errorf("%.0f %% of the bytes went over the wire", 100*share)
	}
}

func TestMessageThatIsNotWorthDeflatingGoesAsItIs(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := joinDeflated(t, addr, "/ws/r")
	noise := make([]byte, 4096)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, m := range []string{"short", string(noise), strings.Repeat("long ", compressMax/5+1)} {
		c.send(masked(ws.OpBinary, true, m))
		if f := c.frame(); f.Header.Rsv != 0 || string(f.Payload) != m {
			t.Errorf("%d bytes came as %s", len(m), describe(f))
		}
	}
	if st := statsOf(t, s); st.Deflated != 1 { // the noise, in vain
		t.Errorf("deflated %d messages, want 1", st.Deflated)
	}
}

func TestRoomThatOptsOutAndGatewayThatDoesNotOffer(t *testing.T) {
	cfg := testConfig()
	cfg.Rooms = rules(t, "raw.*=plain")
	_, addr := startGateway(t, cfg)
	off := testConfig()
	off.NoCompression = true
	_, addrOff := startGateway(t, off)
	for _, to := range []struct{ addr, path string }{{addr, "/ws/raw.1"}, {addrOff, "/ws/r"}} {
		c := connect(t, to.addr)
		c.send(upgradeHead(to.path, offerDeflate))
		if r, _ := c.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Fatalf("%s: answered %d, extensions %q", to.path, r.StatusCode, r.Header.Get("Sec-WebSocket-Extensions"))
		}
		c.send(maskedDeflated(ws.OpText, deflated("not agreed on")))
		c.expectClose(1002) // F02
	}
}

func TestZ07_Z08_Z11_OffersAtTheGateway(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	for offer, want := range map[string]string{
		"permessage-deflate; client_max_window_bits=7":                     "",
		"permessage-deflate; server_max_window_bits=16":                    "",
		"permessage-deflate; unknown":                                      "",
		"permessage-deflate; server_max_window_bits=8, permessage-deflate": "permessage-deflate",
		"x-webkit-deflate-frame":                                           "",
	} {
		c := connect(t, addr)
		c.send(upgradeHead("/ws/r", "Sec-WebSocket-Extensions: "+offer))
		r, _ := c.response()
		got, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Extensions"), ";")
		if r.StatusCode != 101 || got != want {
			t.Errorf("%s: answered %d with %q, want %q", offer, r.StatusCode, got, want)
		}
	}
	for _, malformed := range []string{";;", " ,,", "permessage-deflate; =10"} {
		c := connect(t, addr)
		c.send(upgradeHead("/ws/r", "Sec-WebSocket-Extensions: "+malformed))
		c.expectRefusal(400)
	}
}

func TestZ01_BombIsClosedWith1009(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	other := join(t, addr, "/ws/r")
	bomb := deflated(string(make([]byte, 64<<20)))
	before := liveHeap()
	c := joinDeflated(t, addr, "/ws/r")
	c.send(maskedDeflated(ws.OpBinary, bomb))
	c.expectClose(1009)
	c.Close()
	expectClosed(t, s, ClosedTooBig, 1)
	if grew := liveHeap() - before; grew > int64(s.cfg.MaxMessage)+1<<20 {
		t.Errorf("the heap grew by %d bytes", grew)
	}
	other.send(maskedText("still here"))
	other.expectFrame(ws.OpText, "still here")
}

func TestZ02_LimitIsOnTheInflatedMessage(t *testing.T) {
	cfg := testConfig()
	cfg.MaxMessage = 1000
	_, addr := startGateway(t, cfg)
	c := joinDeflated(t, addr, "/ws/r")
	whole := strings.Repeat("x", 1000)
	c.send(maskedDeflated(ws.OpText, deflated(whole)))
	if got := inflated(t, c.frame()); got != whole {
		t.Fatalf("got %d bytes", len(got))
	}
	for _, more := range []string{"x", "xx"} {
		c := joinDeflated(t, addr, "/ws/r")
		c.send(maskedDeflated(ws.OpText, deflated(whole+more)))
		c.expectClose(1009)
	}
}

func TestZ05_F03_BrokenStreamsAndBits(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	good := deflated(strings.Repeat("good ", 100))
	for name, c := range map[string]struct {
		frame []byte
		code  ws.StatusCode
	}{
		"corrupt":                 {maskedDeflated(ws.OpText, []byte{0xff, 0xff, 0xff}), 1007},
		"truncated":               {maskedDeflated(ws.OpText, good[:len(good)/2]), 1007},
		"not UTF-8":               {maskedDeflated(ws.OpText, deflated("\xff")), 1007},
		"RSV1 on a ping":          {frameBytes(0xC9, 0x80, zeroMask), 1002},
		"RSV1 on a continuation":  {append(masked(ws.OpText, false, "a"), frameBytes(0xC0, 0x80, zeroMask)...), 1002},
		"F03: RSV2":               {frameBytes(0xA1, 0x80, zeroMask), 1002},
		"F03: RSV3":               {frameBytes(0x91, 0x80, zeroMask), 1002},
		"F03: RSV1 and RSV2 both": {frameBytes(0xE1, 0x80, zeroMask), 1002},
	} {
		t.Run(name, func(t *testing.T) {
			k := joinDeflated(t, addr, "/ws/r")
			k.send(c.frame)
			k.expectClose(c.code)
		})
	}
}

// Legal messages whose only point is to be inflated: their sender is closed with 1008, and another room on the same loop goes
// on meanwhile. Ten thousand of 1 KiB that become 1 MiB each would be 10 GB.
func TestZ04_ClientThatLivesOnInflationIsClosed(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	s, addr := startGateway(t, cfg)
	others := gather(t, addr, "/ws/quiet", 3, 100)
	c := joinDeflated(t, addr, "/ws/r")
	bomb := maskedDeflated(ws.OpBinary, deflated(string(make([]byte, 1<<20))))
	go func() {
		for range 10_000 {
			if _, err := c.Write(bomb); err != nil {
				return
			}
		}
	}()
	others.expectPrompt("while a neighbour has us inflate")
	for {
		f := c.frame()
		if f.Header.OpCode == ws.OpClose {
			if code, _ := ws.ParseCloseFrameData(f.Payload); code != 1008 {
				t.Errorf("closed with %d", code)
			}
			break
		}
	}
	if st := statsOf(t, s); st.Messages > others.sent+inflateBurst>>20+10 {
		t.Errorf("%d messages were taken", st.Messages)
	}
	c.Close()
	expectClosed(t, s, ClosedInflation, 1)
}

// A message that takes many turns to be inflated keeps its place before what came behind it, and the clock for messages that come in pieces
// does not run against its sender.
func TestMessageInflatedInSlicesKeepsItsPlace(t *testing.T) {
	cfg := testConfig()
	cfg.readBudget = 100
	s, addr := startGateway(t, cfg)
	c := joinDeflated(t, addr, "/ws/r")
	want := strings.Repeat("κόσμε ", 20_000)
	cut := deflated(want)
	c.send(frameBytes(maskedDeflated(ws.OpText, []byte(cut)), maskedText("behind it"), deflatedParts([]byte(cut), 7), maskedText("the end")))
	for _, want := range []string{want, "behind it", want, "the end"} {
		if got := inflated(t, c.frame()); got != want {
			t.Fatalf("got %d bytes, %.20q, want %d, %.20q", len(got), got, len(want), want)
		}
	}
	c.Close()
	expectClosed(t, s, ClosedGone, 1)
	s.each(t, func(c *conn) { t.Errorf("connection %d is left", c.fd) })

	in := inbound{began: 1, decoder: wsproto.Decoder{Limit: 1000, Deflate: true, Slice: 1}}
	defer in.decoder.Release()
	whole := maskedDeflated(ws.OpText, []byte(deflated(strings.Repeat("x", 1000))))
	for at := range whole {
		if due := in.dueBy(time.Second); due != time.Second+1 {
			t.Fatalf("due at %v before its last byte came", due)
		}
		if _, _, err := in.decoder.Next(whole[at : at+1]); err != nil {
			t.Fatal(err)
		}
	}
	if due := in.dueBy(time.Second); !in.decoder.Inflating() || due != math.MaxInt64 {
		t.Errorf("due at %v while it is inflated (%t)", due, in.decoder.Inflating())
	}
}

// Nobody keeps a window: a client that asks for context takeover costs what any other does.
func TestZ13_ContextTakeoverIsRefused(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := connect(t, addr)
	c.send(upgradeHead("/ws/r", "Sec-WebSocket-Extensions: permessage-deflate"))
	r, _ := c.response()
	if got := r.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "server_no_context_takeover") || !strings.Contains(got, "client_no_context_takeover") {
		t.Fatalf("extensions %q", got)
	}
	c.deflates = true
	// The same message twice is the same frame twice, and decodes by itself.
	for range 2 {
		c.send(maskedDeflated(ws.OpText, deflated(string(ticker(1)))))
		if got := inflated(t, c.frame()); got != string(ticker(1)) {
			t.Fatalf("got %q", clip(got))
		}
	}
	if r, ok := s.hub.Room("r"); !ok || r.Stats().End[encodingPlain] != 0 {
		t.Error("a room without plain clients keeps a plain track")
	}
}

func TestZ14_InflaterIsCleanAfterAnError(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	for range 20 {
		bad := joinDeflated(t, addr, "/ws/bad")
		bad.send(maskedDeflated(ws.OpText, append(deflated(string(ticker(9)))[:40], 0xff, 0xff)))
		bad.expectClose(1007)
		good := joinDeflated(t, addr, "/ws/good")
		good.send(maskedDeflated(ws.OpText, deflated(string(ticker(3)))))
		if got := inflated(t, good.frame()); got != string(ticker(3)) {
			t.Fatalf("got %q", clip(got))
		}
	}
}

func TestChromiumNegotiatesCompression(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	browser := browsertest.Start(t)
	p := openPage(t, browser, "http://"+addr+"/#garden")
	said := strings.TrimSpace(strings.Repeat("a long story, told once for all, ", 30))
	script := fmt.Sprintf(`new Promise((resolve, reject) => {
		const s = new WebSocket("ws://" + location.host + "/ws/compressed");
		s.onopen = () => s.send(%q);
		s.onmessage = (e) => resolve(s.extensions + "|" + e.data);
		s.onerror = () => reject(new Error("it failed"));
	})`, said)
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	extensions, data, _ := strings.Cut(got, "|")
	if !strings.HasPrefix(extensions, "permessage-deflate") || data != said {
		t.Errorf("extensions %q; got back %q", extensions, clip(data))
	}
	if st := statsOf(t, s); st.Deflated == 0 {
		t.Error("nothing was deflated for it")
	}
}
