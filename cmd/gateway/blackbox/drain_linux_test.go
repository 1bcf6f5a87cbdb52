package blackbox

import (
	"net/http"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// A gateway that is told to end has connections in its accept queue, here because it stands still.
// Each of them is answered, with 503 or with 101 and Close 1001; none is reset. Which goroutine
// comes first is for the scheduler to say, so this is done some times.
func TestK23_QueuedConnectionsAreToldThatTheGatewayEnds(t *testing.T) {
	t.Parallel()
	statuses := map[int]int{}
	for range 10 {
		p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--drain-timeout=1m", "--close-timeout=1m"))
		proctest.StopProcess(t, p.PID())
		var queued []*wstest.Client
		for range 100 {
			c := wstest.Connect(t, p.Addr)
			c.Send(wstest.UpgradeHead("/ws"))
			queued = append(queued, c)
		}
		p.Signal(syscall.SIGTERM)
		proctest.ContinueProcess(t, p.PID())
		for _, c := range queued {
			statuses[expectLastWords(c)]++
		}
		p.ExpectExit(0)
	}
	t.Logf("answered with %v", statuses)
}

// expectLastWords reads a gateway's last words to a client that asked for an upgrade, and returns
// the status.
func expectLastWords(c *wstest.Client) (status int) {
	c.T.Helper()
	defer c.Close()
	r, _ := c.Response()
	switch r.StatusCode {
	case http.StatusSwitchingProtocols:
		c.ExpectClose(1001)
	case http.StatusServiceUnavailable:
		if _, err := c.Rest(); err != nil {
			c.T.Errorf("503, then %v", err)
		}
	default:
		c.T.Errorf("got %s", r.Status)
	}
	return r.StatusCode
}
