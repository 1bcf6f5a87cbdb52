package clustertest

import (
	"errors"
	"testing"

	"sluice/hub/cluster"
	"sluice/internal/testenv"
)

// A connection may come again, to another store, before the node has heard that it was gone. What
// the node publishes meanwhile is not sent: it would be acknowledged by a stream that nobody has
// looked at.
func TestNothingIsPublishedOnAConnectionThatTheNodeDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := dial(t, withStream(s.ClientURL()))
	mustPublish(t, n, "room", "id.1", "x")
	if err := n.Conn().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the connection is another one", func() bool {
		return n.Conn().IsConnected() && n.Conn().Stats().Reconnects > 0
	})
	if seq, err := publish(t, n, "room", "id.2", "x"); !errors.Is(err, cluster.ErrNotStored) {
		t.Errorf("stored at %d, %v", seq, err)
	}
	await(t, n, cluster.Up)
	if seq := mustPublish(t, n, "room", "id.3", "x"); seq != 2 {
		t.Errorf("the next one is stored at %d", seq)
	}
}
