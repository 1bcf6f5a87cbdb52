package gateway

import (
	"net/http"
	"syscall"
	"testing"
)

// A gateway that is told to end has connections in its accept queue, here because it stands still. Each of them is answered, with
// 503 or with 101 and Close 1001; none is reset. Which goroutine comes first is for the scheduler to say, so this is done some times.
func TestK23_QueuedConnectionsAreToldThatTheGatewayEnds(t *testing.T) {
	t.Parallel()
	statuses := map[int]int{}
	for range 10 {
		p := launch(t, command(t, "--listen=127.0.0.1:0", "--loops=2", "--drain-timeout=1m", "--close-timeout=1m"))
		stopProcess(t, p.pid())
		var queued []*rawClient
		for range 100 {
			c := connect(t, p.addr)
			c.send(upgradeHead("/ws"))
			queued = append(queued, c)
		}
		p.signal(syscall.SIGTERM)
		continueProcess(t, p.pid())
		for _, c := range queued {
			statuses[c.expectFarewell()]++
		}
		p.expectExit(0)
	}
	t.Logf("answered with %v", statuses)
}

// expectFarewell reads a gateway's last words to a client that asked for an upgrade, and returns the status.
func (c *rawClient) expectFarewell() (status int) {
	c.t.Helper()
	defer c.Close()
	r, _ := c.response()
	switch r.StatusCode {
	case http.StatusSwitchingProtocols:
		c.expectClose(1001)
	case http.StatusServiceUnavailable:
		if _, err := c.rest(); err != nil {
			c.t.Errorf("503, then %v", err)
		}
	default:
		c.t.Errorf("got %s", r.Status)
	}
	return r.StatusCode
}
