package conformance

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/internal/sdktest"
)

// SDKs bring tokens, ask for the next one before one ends, and stay connected by it; what is said
// has its sender's name.
func TestCentrifuge_SDKsRefreshTheirTokens(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, known(t))
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel() // Each waits for seconds to pass.
			room := "of." + kind.Name
			grants := jwt.MapClaims{
				"info": map[string]any{"name": "Ann"},
				"caps": []any{map[string]any{"rooms": []string{"of.*"}, "may": []string{"read", "publish", "history"}}},
			}
			client := e.open(kind, token(t, "ann", 2*time.Second, grants), token(t, "ann", 4*time.Second, grants), token(t, "ann", time.Hour, grants))
			events := client.Events()
			client.Connect()
			client.Subscribe(room, token(t, "ann", 3*time.Second, jwt.MapClaims{"channel": room}), token(t, "ann", time.Hour, jwt.MapClaims{"channel": room}))
			events.Expect(t, "subscribed", room, 1)
			for until := time.Now().Add(6 * time.Second); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
				if err := client.Publish(room, []byte(`{"from":"ann"}`)); err != nil {
					t.Fatal(err)
				}
			}
			n := events.Count("publication", room)
			if err := client.Publish(room, []byte(`{"from":"ann"}`)); err != nil {
				t.Fatal(err)
			}
			last := events.Expect(t, "publication", room, n+1)
			if last.Info == nil || last.Info.User != "ann" || string(last.Info.ConnInfo) != `{"name":"Ann"}` {
				t.Errorf("it came of %+v", last.Info)
			}
			for _, kind := range []string{"connecting", "subscribing"} {
				if n := events.Count(kind, ""); n != 1 {
					t.Errorf("%d times %s: %v", n, kind, events.All())
				}
			}
		})
	}
}

// A token that has expired is asked for anew; one that is nobody's ends the connection for good,
// and one of another room does.
func TestCentrifuge_SDKsHearWhatIsWrongWithTokens(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, known(t))
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			may := jwt.MapClaims{"caps": []any{map[string]any{"rooms": []string{"of.*"}, "may": []string{"read"}}}}
			late := e.open(kind, token(t, "ann", -time.Minute, may), token(t, "ann", time.Hour, may))
			late.Connect()
			late.Subscribe("of.late", token(t, "ann", -time.Minute, jwt.MapClaims{"channel": "of.late"}), token(t, "ann", time.Hour, jwt.MapClaims{"channel": "of.late"}))
			late.Events().Expect(t, "connected", "", 1)
			late.Events().Expect(t, "subscribed", "of.late", 1)

			wrong := e.open(kind, token(t, "ann", time.Hour, may)+"x")
			wrong.Connect()
			expectEnd(t, wrong, 3500)

			another := e.open(kind, token(t, "ann", time.Hour, may))
			another.Connect()
			another.Subscribe("of.mine", token(t, "ann", time.Hour, jwt.MapClaims{"channel": "of.another"}))
			expectEnd(t, another, 3500)

			stranger := e.open(kind, token(t, "ann", time.Hour, may))
			stranger.Connect()
			stranger.Events().Expect(t, "connected", "", 1)
			stranger.Subscribe("of.mine", token(t, "ann", time.Hour, jwt.MapClaims{"channel": "of.mine"})+"x")
			if left := stranger.Events().Expect(t, "unsubscribed", "of.mine", 1); left.Code != 103 {
				t.Errorf("%v, want 103", left)
			}
		})
	}
}

// expectEnd waits for the end of a client's connection, for good, with a code.
func expectEnd(t *testing.T, client sdktest.SDK, code uint32) {
	t.Helper()
	if end := client.Events().Expect(t, "disconnected", "", 1); end.Code != code {
		t.Errorf("%v, want %d", end, code)
	}
}

// Rooms of the token's are subscribed to by the server, and recovered like others.
func TestCentrifuge_SDKsAreSubscribedByTheirTokens(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, known(t))
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			room := "of." + kind.Name
			client := e.open(kind, token(t, "ann", time.Hour, jwt.MapClaims{"channels": []string{room}}))
			client.Connect()
			events := client.Events()
			events.Expect(t, "server subscribed", room, 1)
			if err := e.publishNumbers([]string{room}, 0, 5); err != nil {
				t.Fatal(err)
			}
			last := events.Expect(t, "server publication", room, 5)
			if string(last.Data) != `{"n":4}` || last.Offset != 5 {
				t.Errorf("%v", last)
			}
		})
	}
}
