package gateway

import (
	"syscall"
	"testing"

	"sluice/hub"
)

// A taker is a transport that takes so many bytes at a time at most, and says why it takes no more.
type taker struct {
	transport
	most int
	err  error
}

func (t *taker) Write(_ int, p []byte) (int, error) {
	if n := min(t.most, len(p)); n < len(p) {
		return n, t.err
	}
	return len(p), nil
}

// Sealing a long turn would take longer than writing it: other transports than plain sockets are
// offered what fits in a turn, and the hub gives them another.
func TestOtherTransportsAreOfferedNoLongTurns(t *testing.T) {
	const budget = 1000
	for _, tc := range []struct {
		name        string
		size, most  int
		err         error
		wantTaken   int
		wantOutcome hub.Outcome
	}{
		{"a turn", budget, 1 << 20, nil, budget, hub.Taken},
		{"a long one", 3 * budget, 1 << 20, nil, budget, hub.Deferred},
		{"some of a turn", budget, 10, nil, 10, hub.Taken},
		{"some of a long one", 3 * budget, 10, nil, 10, hub.Taken},
		{"refused behind some", 3 * budget, 10, syscall.EAGAIN, 10, hub.Refused},
		{"gone", 3 * budget, 0, syscall.EPIPE, 0, hub.Failed},
	} {
		var other transport = &taker{most: tc.most, err: tc.err}
		c := &conn{w: &worker{cfg: &config{tuning: tuning{writeBudget: budget}}}, other: &other}
		if taken, outcome := c.offer(make([]byte, tc.size)); taken != tc.wantTaken || outcome != tc.wantOutcome {
			t.Errorf("%s: %d bytes are taken, outcome %d; want %d and %d", tc.name, taken, outcome, tc.wantTaken, tc.wantOutcome)
		}
	}
}
