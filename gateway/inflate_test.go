package gateway

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
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

// Legal messages whose only point is to be inflated: their sender is closed with 1008, and another room on the same loop goes
// on meanwhile. Ten thousand of 1 KiB that become 1 MiB each would be 10 GB.
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
	if st := testenv.StatsOf(t, s); st.Messages > others.Sent+inflateBurst>>20+10 {
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
