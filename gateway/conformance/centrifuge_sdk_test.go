package conformance

import (
	"errors"
	"testing"

	"sluice/internal/sdktest"
	"sluice/internal/testenv"
)

// expectRefused holds an error to be one of the protocol, with its code.
func expectRefused(t *testing.T, what string, err error, code uint32) {
	t.Helper()
	var r *sdktest.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Errorf("%s: %v, want %d", what, err, code)
	}
}

// The real SDKs connect, subscribe to three rooms on one connection, publish, and ask for what
// there is.
func TestCentrifuge_SDKsDoWhatTheyCan(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			rooms := []string{kind.Name + ".a", kind.Name + ".b", kind.Name + ".c"}
			client := e.open(kind)
			events := client.Events()
			client.Connect()
			for _, room := range rooms {
				client.Subscribe(room)
			}
			id := events.Expect(t, "connected", "", 1).Client
			for _, room := range rooms {
				if at := events.Expect(t, "subscribed", room, 1); at.Position == nil || at.Position.Epoch == "" || at.WasRecovering {
					t.Errorf("%v", at)
				}
			}
			if err := e.publishNumbers(rooms, 0, 20); err != nil {
				t.Fatal(err)
			}
			for _, room := range rooms {
				events.Expect(t, "publication", room, 20)
				if gaps, err := e.log.Judge(events, room); gaps > 0 || err != nil {
					t.Errorf("%s: %d gaps, %v", room, gaps, err)
				}
			}
			expectOwn(t, client, rooms[0], id)
			expectHistory(t, client, rooms[1])
			expectPresence(t, e, kind, client, rooms[2])

			client.Unsubscribe(rooms[0])
			events.Expect(t, "unsubscribed", rooms[0], 1)
			if err := e.publishNumbers(rooms[:2], 20, 21); err != nil {
				t.Fatal(err)
			}
			events.Expect(t, "publication", rooms[1], 21)
			if n := events.Count("publication", rooms[0]); n != 21 {
				t.Errorf("%d publications of a room that was left", n)
			}
			expectRefused(t, "rpc", client.RPC("anything"), 108)
			client.Disconnect()
			events.Expect(t, "disconnected", "", 1)
			if n := events.Count("connecting", ""); n != 1 {
				t.Errorf("connected %d times: %v", n, events.All())
			}
		})
	}
}

// expectOwn makes a client publish where it is subscribed: it hears that itself, with who it is.
func expectOwn(t *testing.T, client sdktest.SDK, room, id string) {
	t.Helper()
	events := client.Events()
	before := events.Count("publication", room)
	if err := client.Publish(room, []byte(`{"own":true}`)); err != nil {
		t.Error(err)
	}
	own := events.Expect(t, "publication", room, before+1)
	if string(own.Data) != `{"own":true}` || own.Info == nil || own.Info.Client != id {
		t.Errorf("its own came as %v of %+v, want of %s", own, own.Info, id)
	}
}

// expectHistory asks for pages of a room in which numbers from 0 to 19 were said.
func expectHistory(t *testing.T, client sdktest.SDK, room string) {
	t.Helper()
	none, err := client.History(room, sdktest.Ask{})
	if err != nil || len(none.Publications) > 0 || none.Offset != 20 || none.Epoch == "" {
		t.Errorf("%+v, %v", none, err)
	}
	for _, one := range []struct {
		ask  sdktest.Ask
		want []uint64
	}{
		{sdktest.Ask{Limit: 3}, []uint64{1, 2, 3}},
		{sdktest.Ask{Limit: 2, Reverse: true}, []uint64{20, 19}},
		{sdktest.Ask{Limit: 2, Since: &sdktest.Position{Offset: 5, Epoch: none.Epoch}}, []uint64{6, 7}},
		{sdktest.Ask{Limit: 2, Since: &sdktest.Position{Offset: 5, Epoch: none.Epoch}, Reverse: true}, []uint64{4, 3}},
		{sdktest.Ask{Limit: 5, Since: &none.Position}, nil},
	} {
		got, err := client.History(room, one.ask)
		if err != nil || len(got.Publications) != len(one.want) || got.Position != none.Position {
			t.Errorf("%+v: %+v, %v; want %v", one.ask, got, err, one.want)
			continue
		}
		for i, p := range got.Publications {
			if p.Offset != one.want[i] {
				t.Errorf("%+v: %+v, want %v", one.ask, got.Publications, one.want)
			}
		}
	}
	_, err = client.History(room, sdktest.Ask{Limit: 1, Since: &sdktest.Position{Offset: 5, Epoch: "another"}})
	expectRefused(t, "history since another epoch", err, 112)
}

// expectPresence makes another client come and go.
func expectPresence(t *testing.T, e *endpoint, kind sdktest.Kind, client sdktest.SDK, room string) {
	t.Helper()
	other := e.open(kind)
	other.Connect()
	other.Subscribe(room)
	other.Events().Expect(t, "subscribed", room, 1)
	id := other.Events().Expect(t, "connected", "", 1).Client
	all, err := client.Presence(room)
	if err != nil || len(all) != 2 || all[0].Client != id && all[1].Client != id {
		t.Errorf("%+v, %v; want two, %s among them", all, err, id)
	}
	if stats, err := client.PresenceStats(room); err != nil || stats.Clients != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
	events := client.Events()
	hasCome := func(kind string) func() bool {
		return func() bool {
			for _, e := range events.Of(kind, room) {
				if e.Info != nil && e.Info.Client == id {
					return true
				}
			}
			return false
		}
	}
	if err := events.Wait("the other's join", hasCome("join"), nil); err != nil {
		t.Error(err)
	}
	other.Disconnect()
	if err := events.Wait("the other's leave", hasCome("leave"), nil); err != nil {
		t.Error(err)
	}
	testenv.Eventually(t, "one alone is there", func() bool {
		stats, err := client.PresenceStats(room)
		return err == nil && stats.Clients == 1
	})
}
