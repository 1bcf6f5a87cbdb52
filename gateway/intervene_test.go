package gateway

import (
	"testing"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// An operator who empties a room takes clients of the protocol out of it alone. They are told so by
// a code with which they do not come back by themselves.
func TestDisconnectRoomTakesSubscribersOutOfItAlone(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	p, raw, other := connectPeer(t, addr), wstest.Join(t, addr, "/ws/a"), wstest.Join(t, addr, "/ws/b")
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
	if n, err := s.DisconnectRoom(t.Context(), "a", Farewell{Code: 4100, Reason: "closed"}); n.Clients != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	raw.ExpectClose(4100)
	p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	testenv.Eventually(t, "the room is empty", func() bool { _, isThere := s.Room("a"); return !isThere })
	if n, err := s.Publish("b", Message{Data: []byte("on")}); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	p.expect(pushed("b", `"on"`, 0, ""))
	other.ExpectFrame(1, "on")
	p.say(`{"id":4,"subscribe":{"channel":"a"}}`)
	p.expect(`{"id":4,"subscribe":{}}`)
}
