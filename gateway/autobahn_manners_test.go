package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

// What Autobahn leaves out: clients that follow the RFC without manners, or only its first half.

// A client that does not wait for the answer to its handshake says all it has to say in the same packet.
func TestH02_WholeVisitInThePacketOfTheHandshake(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	witness := dial(t, addr, "/ws")
	two := fragments(ws.OpText, "in two ", "parts")
	c := join(t, addr, "/ws", maskedText("first"), maskedPing("p"), two[0], maskedPing("q"), two[1], maskedClose(1000, "bye"), maskedText("never"))
	// Pongs do not wait for the room, and may come before what was said before the ping.
	got := map[said]int{}
	for range 4 {
		f := c.frame()
		got[said{f.Header.OpCode, string(f.Payload)}]++
	}
	for _, w := range []said{echoText("first"), echoPong("p"), echoPong("q"), echoText("in two parts")} {
		if got[w] != 1 {
			t.Errorf("got %v, want one of each", got)
		}
	}
	c.expectClose(1000)
	expectText(t, witness, "first")
	expectText(t, witness, "in two parts")
	if err := witness.Write(t.Context(), websocket.MessageText, []byte("nothing before this")); err != nil {
		t.Fatal(err)
	}
	expectText(t, witness, "nothing before this")
}

// Garbage in the packet of the handshake ends the connection as it would later: after the 101 and what was valid, with a Close.
func TestGarbagePipelinedBehindTheHandshake(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	witness := dial(t, addr, "/ws")
	for _, garbage := range []struct{ name, bytes string }{
		{"another request", "GET /ws HTTP/1.1\r\nHost: sluice.test\r\n\r\n"},
		{"the same upgrade again", string(upgradeHead("/ws"))},
		{"h2c", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		{"zeros", strings.Repeat("\x00", 4<<10)},
		{"ones", strings.Repeat("\xff", 4<<10)},
		{"a line end", "\r\n\r\n"},
	} {
		t.Run(garbage.name, func(t *testing.T) {
			c := join(t, addr, "/ws", []byte(garbage.bytes))
			c.expectClose(1002)
			c = join(t, addr, "/ws", maskedText("valid"), []byte(garbage.bytes))
			c.expectFrame(ws.OpText, "valid")
			c.expectClose(1002)
			expectText(t, witness, "valid")
		})
	}
}

// `printf … | nc -N`: request, message and FIN in one go, and then the client reads.
func TestK07_HalfCloseBehindTheFirstMessage(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	witness := dial(t, addr, "/ws")
	c := connect(t, addr)
	c.send(upgradeHead("/ws"), maskedText("all there is"))
	c.closeWrite()
	c.expectUpgrade()
	c.expectFrame(ws.OpText, "all there is")
	c.expectEnd()
	expectText(t, witness, "all there is")
	expectClosed(t, s, ClosedGone, 1)
}

// One that takes nothing either is not waited for as long as a client that closes in order may be.
func TestK07_HalfClosedClientThatTakesNothingIsGoneSoon(t *testing.T) {
	cfg := testConfig()
	cfg.CloseTimeout, cfg.StallTimeout = time.Hour, time.Hour
	s, addr := startGateway(t, cfg)
	c, _ := stick(t, addr)
	eventually(t, "a write was refused", func() bool { return statsOf(t, s).Refused > 0 })
	c.closeWrite()
	eventually(t, "it is gone", func() bool { return s.Open() == 0 })
}
