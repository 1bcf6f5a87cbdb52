package blackbox

import (
	"strings"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// Two gateways on one port: both are needed to say so, and when the first has gone the second
// serves.
func TestReusePortLetsTheNextOneStartBeforeThisOneLeaves(t *testing.T) {
	first := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--reuse-port"))
	if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen="+first.Addr)); status != 1 || !strings.Contains(stderr, "address already in use") {
		t.Errorf("one that does not share the port: status %d, %s", status, stderr)
	}
	second := proctest.Launch(t, proctest.Command(t, "--listen="+first.Addr, "--reuse-port"))
	first.Signal(syscall.SIGTERM)
	first.ExpectExit(0)
	wstest.Join(t, second.Addr, "/ws", wstest.MaskedText("hello")).ExpectFrame(1, "hello")
}
