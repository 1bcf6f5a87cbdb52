package blackbox

import (
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// A peer vanishes without a reset, behind something that still takes what is sent to it. It is
// closed when it has not answered a ping: after 3 s here, 45 by default. A client that is silent
// too, but answers, stays.
func TestK20_PeerThatVanishesIsClosedByThePongTimeout(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--ping-interval=1s", "--pong-timeout=2s"))
	before := len(p.Descriptors())
	tun := wstest.Dig(t, p.Addr)
	gone := wstest.Join(t, tun.Addr(), "/ws", wstest.MaskedText("here"))
	gone.ExpectFrame(ws.OpText, "here")
	quiet := wstest.Gather(t, p.Addr, "/ws", 1, 16)
	tun.GoDark()
	gone.Send(wstest.MaskedText("never arrives"))
	p.ExpectDescriptors(before + 1)
	quiet.Publish(1)
	quiet.HearAll()
}
