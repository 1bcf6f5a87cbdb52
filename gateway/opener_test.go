package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A room is followed for as long as it is there.
func TestEndedRoomsAreReleased(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	s, addr := startGateway(t, clustered(c, &node))
	raw := wstest.Dial(t, addr, "/ws/a")
	awaitMembers(t, s, "a", 1)
	_ = raw.CloseNow()
	testenv.Eventually(t, "the room is released", func() (isReleased bool) {
		c.set(func() { isReleased = slices.Contains(node.released, "a") && !node.follows["a"] })
		return isReleased
	})
	raw = wstest.Dial(t, addr, "/ws/a")
	if err := raw.Write(t.Context(), websocket.MessageText, []byte("again")); err != nil {
		t.Fatal(err)
	}
	wstest.ExpectText(t, raw, "again")
}

// Rooms that cannot be opened, as many as are opened at a time, do not hold up one that can.
func TestRoomsThatCannotBeOpenedLetOthersGoFirst(t *testing.T) {
	t.Parallel()
	c := newScripted()
	c.isStuck = func(room string) bool { return strings.HasPrefix(room, "stuck") }
	cfg := clustered(c, nil)
	cfg.ClusterTimeout = 20 * time.Millisecond
	s, addr := startGateway(t, cfg)
	for i := range openersMax {
		wstest.Dial(t, addr, fmt.Sprint("/ws/stuck.", i))
	}
	wstest.Dial(t, addr, "/ws/a")
	awaitMembers(t, s, "a", 1)
}
