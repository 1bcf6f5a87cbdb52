package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// What Autobahn leaves out: clients that follow the RFC without manners, or only its first half.

// A client that does not wait for the answer to its handshake says all it has to say in the same
// packet.
func TestH02_WholeVisitInThePacketOfTheHandshake(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Dial(t, addr, "/ws")
	two := wstest.Fragments(ws.OpText, "in two ", "parts")
	c := wstest.Join(t, addr, "/ws", wstest.MaskedText("first"), wstest.MaskedPing("p"), two[0], wstest.MaskedPing("q"), two[1], wstest.MaskedClose(1000, "bye"), wstest.MaskedText("never"))
	// Pongs do not wait for the room, and may come before what was said before the ping.
	got := map[said]int{}
	for range 4 {
		f := c.Frame()
		got[said{f.Header.OpCode, string(f.Payload)}]++
	}
	for _, w := range []said{echoText("first"), echoPong("p"), echoPong("q"), echoText("in two parts")} {
		if got[w] != 1 {
			t.Errorf("got %v, want one of each", got)
		}
	}
	c.ExpectClose(1000)
	wstest.ExpectText(t, witness, "first")
	wstest.ExpectText(t, witness, "in two parts")
	if err := witness.Write(t.Context(), websocket.MessageText, []byte("nothing before this")); err != nil {
		t.Fatal(err)
	}
	wstest.ExpectText(t, witness, "nothing before this")
}

// Garbage in the packet of the handshake ends the connection as it would later: after the 101 and
// what was valid, with a Close.
func TestGarbagePipelinedBehindTheHandshake(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Dial(t, addr, "/ws")
	for _, garbage := range []struct{ name, bytes string }{
		{"another request", "GET /ws HTTP/1.1\r\nHost: sluice.test\r\n\r\n"},
		{"the same upgrade again", string(wstest.UpgradeHead("/ws"))},
		{"h2c", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		{"zeros", strings.Repeat("\x00", 4<<10)},
		{"ones", strings.Repeat("\xff", 4<<10)},
		{"a line end", "\r\n\r\n"},
	} {
		t.Run(garbage.name, func(t *testing.T) {
			c := wstest.Join(t, addr, "/ws", []byte(garbage.bytes))
			c.ExpectClose(1002)
			c = wstest.Join(t, addr, "/ws", wstest.MaskedText("valid"), []byte(garbage.bytes))
			c.ExpectFrame(ws.OpText, "valid")
			c.ExpectClose(1002)
			wstest.ExpectText(t, witness, "valid")
		})
	}
}

// `printf … | nc -N`: request, message and FIN in one go, and then the client reads.
func TestK07_HalfCloseBehindTheFirstMessage(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Dial(t, addr, "/ws")
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws"), wstest.MaskedText("all there is"))
	c.EndWrites()
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "all there is")
	c.ExpectEnd()
	wstest.ExpectText(t, witness, "all there is")
	gatewaytest.ExpectClosed(t, s, gateway.ClosedGone, 1)
}

// One that takes nothing either is not waited for as long as a client that closes in order may be.
func TestK07_HalfClosedClientThatTakesNothingIsGoneSoon(t *testing.T) {
	t.Parallel()
	cfg := gatewaytest.Options()
	cfg.CloseTimeout, cfg.StallTimeout = time.Hour, time.Hour
	s, addr := gatewaytest.Start(t, cfg)
	c, _ := wstest.Stick(t, addr)
	testenv.Eventually(t, "a write was refused", func() bool { return testenv.StatsOf(t, s).Refused > 0 })
	c.EndWrites()
	testenv.Eventually(t, "it is gone", func() bool { return s.Open() == 0 })
}
