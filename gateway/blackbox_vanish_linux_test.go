package gateway

import (
	"testing"

	"github.com/gobwas/ws"
)

// A peer vanishes without a reset, behind something that still takes what is sent to it. It is closed when it has not answered a ping:
// after 3 s here, 45 by default. A client that is silent too, but answers, stays.
func TestK20_PeerThatVanishesIsClosedByThePongTimeout(t *testing.T) {
	t.Parallel()
	p := Launch(t, Command(t, "--listen=127.0.0.1:0", "--ping-interval=1s", "--pong-timeout=2s"))
	before := len(p.Descriptors())
	tun := Dig(t, p.Addr)
	gone := Join(t, tun.Addr(), "/ws", MaskedText("here"))
	gone.ExpectFrame(ws.OpText, "here")
	quiet := Gather(t, p.Addr, "/ws", 1, 16)
	tun.GoDark()
	gone.Send(MaskedText("never arrives"))
	p.ExpectDescriptors(before + 1)
	quiet.Publish(1)
	quiet.HearAll()
}
