package gateway

import (
	"bytes"
	"compress/flate"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

func TestMessageThatIsNotWorthDeflatingGoesAsItIs(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := wstest.JoinDeflated(t, addr, "/ws/r")
	noise := make([]byte, 4096)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, m := range []string{"short", string(noise), strings.Repeat("long ", compressMax/5+1)} {
		c.Send(wstest.Masked(ws.OpBinary, true, m))
		if f := c.Frame(); f.Header.Rsv != 0 || string(f.Payload) != m {
			t.Errorf("%d bytes came as %s", len(m), wstest.Describe(f))
		}
	}
	if st := testenv.StatsOf(t, s); st.Deflated != 1 { // the noise, in vain
		t.Errorf("deflated %d messages, want 1", st.Deflated)
	}
}

// Legal messages whose only point is to be inflated: their sender is closed with 1008, and another
// room on the same loop goes on meanwhile. Ten thousand of 1 KiB that become 1 MiB each would be 10
// GB.
func TestZ04_ClientThatLivesOnInflationIsClosed(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	s, addr := startGateway(t, cfg)
	others := wstest.Gather(t, addr, "/ws/quiet", 3, 100)
	c := wstest.JoinDeflated(t, addr, "/ws/r")
	bomb := wstest.MaskedDeflated(ws.OpBinary, wstest.Deflated(string(make([]byte, 1<<20))))
	go func() {
		for range 10_000 {
			if _, err := c.Write(bomb); err != nil {
				return
			}
		}
	}()
	begin := time.Now()
	others.ExpectPrompt("while a neighbour has us inflate")
	for {
		f := c.Frame()
		if f.Header.OpCode == ws.OpClose {
			if code, _ := ws.ParseCloseFrameData(f.Payload); code != 1008 {
				t.Errorf("closed with %d", code)
			}
			break
		}
	}
	if st := testenv.StatsOf(t, s); st.Messages > others.Sent+uint64(inflateBurst*s.config().InflateRate)>>20+10+4*uint64(time.Since(begin)/time.Second+1) {
		t.Errorf("%d messages were taken in %v", st.Messages, time.Since(begin))
	}
	c.Close()
	expectClosed(t, s, ClosedInflation, 1)
}

// A message that takes many turns to be inflated keeps its place before what came behind it, and
// the clock for messages that come in pieces does not run against its sender.
func TestMessageInflatedInSlicesKeepsItsPlace(t *testing.T) {
	cfg := testConfig()
	cfg.readBudget = 100
	s, addr := startGateway(t, cfg)
	c := wstest.JoinDeflated(t, addr, "/ws/r")
	want := strings.Repeat("κόσμε ", 20_000)
	cut := wstest.Deflated(want)
	c.Send(wstest.FrameBytes(wstest.MaskedDeflated(ws.OpText, []byte(cut)), wstest.MaskedText("behind it"), wstest.DeflatedParts([]byte(cut), 7), wstest.MaskedText("the end")))
	for _, want := range []string{want, "behind it", want, "the end"} {
		if got := wstest.Inflated(t, c.Frame()); got != want {
			t.Fatalf("got %d bytes, %.20q, want %d, %.20q", len(got), got, len(want), want)
		}
	}
	c.Close()
	expectClosed(t, s, ClosedGone, 1)
	s.each(t, func(c *conn) { t.Errorf("connection %d is left", c.fd) })

	in := inbound{began: 1, decoder: wsproto.Decoder{Limit: 1000, Deflate: true, Slice: 1}}
	defer in.decoder.Release()
	whole := wstest.MaskedDeflated(ws.OpText, []byte(wstest.Deflated(strings.Repeat("x", 1000))))
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

// Very repetitive data is honest where somebody says so: a client whose messages inflate to 542
// times what it sends, 6 MiB a second, stays with a higher rate, and with none. The clock is the
// test's. Relatives: the default, which closes it after a while, and bombs (Z04).
func TestN19_InflateRateCanBeSet(t *testing.T) {
	t.Parallel()
	const size, each, seconds = 1 << 20, 6, 30
	deflated := wstest.Deflated(strings.Repeat("x", size))
	pad := size/542 - len(deflated)
	if pad < 0 {
		t.Fatalf("%d bytes deflate to %d", size, len(deflated))
	}
	message := wstest.MaskedDeflated(ws.OpBinary, append([]byte(strings.Repeat("\x00\x00\x00\xff\xff", pad/5)), deflated...)) // blocks of nothing
	for _, c := range []struct {
		rate int64
		most int // messages
	}{{0, 150}, {16 << 20, each * seconds}, {-1, each * seconds}} {
		if c.rate > 0 && testenv.RaceEnabled {
			continue // It takes long, and is the same as without a rate.
		}
		cfg := testConfig()
		cfg.InflateRate = c.rate
		kernel := reactortest.New()
		kernel.StopClock()
		s, addr := startGatewayOn(t, cfg, kernel)
		client := wstest.JoinDeflated(t, addr, "/ws/r")
		taken := 0
		for range seconds {
			for range each {
				client.Send(message)
				if f := client.Frame(); f.Header.OpCode == ws.OpClose {
					if code, _ := ws.ParseCloseFrameData(f.Payload); code != 1008 {
						t.Errorf("closed with %d", code)
					}
					break
				}
				taken++
			}
			if testenv.StatsOf(t, s).Closed[ClosedInflation] > 0 || s.Open() == 0 || taken%each != 0 {
				break
			}
			kernel.Pass(time.Second)
		}
		t.Logf("with a rate of %d it could send %d of %d", c.rate, taken, each*seconds)
		if c.rate == 0 && taken > c.most || c.rate != 0 && taken != c.most {
			t.Errorf("want %d", c.most)
		}
	}
	if err := (Options{InflateRate: math.MaxInt64}).Validate(); err == nil {
		t.Error("a rate that overflows is taken")
	}
}

// A client that keeps its context although it was told not to refers to its message before: 1007,
// and the log says what helps.
func TestN16_KeptContextIsClosedWithTheRemedyInTheLog(t *testing.T) {
	var log journal
	_, addr := startGatewayLogging(t, testConfig(), nil, &log)
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Repeat("the same words, ", 20)
	client := wstest.JoinDeflated(t, addr, "/ws/r")
	for i := range 2 {
		out.Reset()
		if _, err := w.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		client.Send(wstest.MaskedDeflated(ws.OpText, bytes.TrimSuffix(out.Bytes(), []byte("\x00\x00\xff\xff"))))
		if i == 0 {
			if f := client.Frame(); wstest.Inflated(t, f) != said {
				t.Errorf("got %s", wstest.Describe(f))
			}
		}
	}
	client.ExpectClose(1007)
	if lines := log.lines("plain"); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}
}

// What servers that use zlib take of clients is delivered here, too: an empty message without a
// byte, a tail that was left on.
func TestN16_WhatZlibTakesIsDelivered(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	client := wstest.JoinDeflated(t, addr, "/ws/r")
	plain := wstest.Dial(t, addr, "/ws/r") // coder/websocket
	for _, said := range []struct{ deflated, want string }{{"", ""}, {string(wstest.Deflated("hello")) + "\x00\x00\xff\xff", "hello"}, {string(wstest.Deflated("")) + "\x00\x00\xff\xff", ""}} {
		client.Send(wstest.MaskedDeflated(ws.OpText, []byte(said.deflated)))
		wstest.ExpectText(t, plain, said.want)
		client.ExpectFrame(ws.OpText, said.want) // Too short to be deflated.
	}
}
