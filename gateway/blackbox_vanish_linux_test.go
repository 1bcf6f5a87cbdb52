package gateway

import (
	"testing"

	"github.com/gobwas/ws"
)

// A peer vanishes without a reset, behind something that still takes what is sent to it. It is closed when it has not answered a ping:
// after 3 s here, 45 by default. A client that is silent too, but answers, stays.
func TestK20_PeerThatVanishesIsClosedByThePongTimeout(t *testing.T) {
	t.Parallel()
	p := launch(t, command(t, "--listen=127.0.0.1:0", "--ping-interval=1s", "--pong-timeout=2s"))
	before := len(p.descriptors())
	tun := dig(t, p.addr)
	gone := join(t, tun.addr(), "/ws", maskedText("here"))
	gone.expectFrame(ws.OpText, "here")
	quiet := gather(t, p.addr, "/ws", 1, 16)
	tun.goDark()
	gone.send(maskedText("never arrives"))
	p.expectDescriptors(before + 1)
	quiet.publish(1)
	quiet.hearAll()
}
