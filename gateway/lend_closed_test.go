package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"testing"

	"sluice/internal/testenv"
)

// net/http closes what is idle when it shuts down, from a goroutine of its own: a connection that
// it has closed goes to no loop, and one that a loop has is closed on its side alone.
func TestLentConnectionIsClosedOrGivenBack(t *testing.T) {
	s, _ := startGateway(t, testConfig())
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s.stay(netip.Addr{})
	s.lent.Add(1)
	c := &lentConn{Conn: ours, server: s}
	c.Close()
	c.changed(http.StateIdle)
	if open, lent := s.Open(), s.lent.Load(); open != 0 || lent != 0 {
		t.Errorf("%d open, %d lent", open, lent)
	}
	if st := testenv.StatsOf(t, s); st.Returned != 0 || st.Refusals != (Stats{}).Refusals {
		t.Errorf("%d returned, refusals %v", st.Returned, st.Refusals)
	}
}
