package conformance

import (
	"testing"
	"time"
)

// A backend brings a user's clients into a room, takes them out of it, and ends them before their
// tokens do. SDKs take it as what nobody asked for.
func TestSDKsAreBroughtIntoRooms(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, known(t))
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			user, room := "ann."+kind.Name, "room."+kind.Name
			client := e.open(kind, token(t, user, time.Hour, nil))
			client.Connect()
			events := client.Events()
			events.Expect(t, "connected", "", 1)
			ask := func(method string, params map[string]any) {
				t.Helper()
				params["user"] = user
				if err := e.do(method, params, &struct{}{}); err != nil {
					t.Fatalf("%s: %v", method, err)
				}
			}
			ask("subscribe", map[string]any{"channel": room})
			events.Expect(t, "server subscribed", room, 1)
			if err := e.publish(room, `{"n":1}`); err != nil {
				t.Fatal(err)
			}
			if got := events.Expect(t, "server publication", room, 1); string(got.Data) != `{"n":1}` {
				t.Errorf("%v", got)
			}
			ask("unsubscribe", map[string]any{"channel": room})
			events.Expect(t, "server unsubscribed", room, 1)
			ask("refresh", map[string]any{"expire_at": time.Now().Add(time.Hour).Unix()})
			ask("refresh", map[string]any{"expired": true})
			if got := events.Expect(t, "connecting", "", 2); got.Code != 3005 {
				t.Errorf("%v", got)
			}
			events.Expect(t, "connected", "", 2)
		})
	}
}
