package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/gatewaytest"
)

// Every route below /api is in the document, and everything in the document is a route.
func TestOpenAPIDocumentAndMuxAreTheSame(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	var doc struct {
		Paths      map[string]map[string]json.RawMessage
		Components map[string]map[string]json.RawMessage
	}
	a := s.ask("GET", "/api/openapi.json", "")
	s.decode(a, &doc)
	described := map[string]bool{}
	for path, operations := range doc.Paths {
		if _, isAlias := operations["$ref"]; isAlias {
			operations = doc.Paths["/api"]
			path += "{$}"
		}
		for method := range operations {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	for pattern := range s.handler.routes {
		if _, path, _ := strings.Cut(pattern, " "); strings.HasPrefix(path, "/api") && !described[pattern] {
			t.Errorf("%s is not described", pattern)
		}
	}
	for pattern := range described {
		if _, ok := s.handler.routes[pattern]; !ok {
			t.Errorf("%s is described and not there", pattern)
		}
		method, path, _ := strings.Cut(strings.TrimSuffix(pattern, "{$}"), " ")
		r := httptest.NewRequest(method, regexp.MustCompile(`\{.*?\}`).ReplaceAllString(path, "x"), http.NoBody)
		if _, found := s.handler.mux.Handler(r); found != pattern {
			t.Errorf("%s %s leads to %q", method, path, found)
		}
	}
	if len(described) < 20 {
		t.Errorf("only %d operations were found", len(described))
	}
	for _, m := range regexp.MustCompile(`"#/components/(\w+)/(\w+)"`).FindAllStringSubmatch(a.body, -1) {
		if doc.Components[m[1]][m[2]] == nil {
			t.Errorf("%s leads nowhere", m[0])
		}
	}
}

// What answers have is what their schemas say, and nothing else.
func TestOpenAPISchemasAreWhatIsAnswered(t *testing.T) {
	t.Parallel()
	s := startSite(t, historyOptions(), nil)
	c := s.join("r")
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	s.decode(s.ask("GET", "/api/openapi.json", ""), &doc)
	compare := func(schema string, text json.RawMessage) {
		t.Helper()
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for name := range got {
			if _, ok := doc.Components.Schemas[schema].Properties[name]; !ok {
				t.Errorf("%s has no %s", schema, name)
			}
		}
		for _, name := range doc.Components.Schemas[schema].Required {
			if _, ok := got[name]; !ok {
				t.Errorf("%s without its %s: %s", schema, name, text)
			}
		}
	}
	compare("Room", json.RawMessage(s.ask("GET", "/api/rooms/r", "").body))
	var list map[string]json.RawMessage
	s.decode(s.ask("GET", "/api/connections", ""), &list)
	var conns []json.RawMessage
	if err := json.Unmarshal(list["connections"], &conns); err != nil || len(conns) != 1 {
		t.Fatal(conns, err)
	}
	compare("Connection", conns[0])
	_, id := s.subscribe("", "r", "s")
	one := s.ask("GET", "/api/connections/"+id, "").body
	compare("Connection", json.RawMessage(one))
	var rooms struct{ Rooms []json.RawMessage }
	if err := json.Unmarshal([]byte(one), &rooms); err != nil || len(rooms.Rooms) != 2 {
		t.Fatal(one, err)
	}
	compare("RoomLag", rooms.Rooms[0])
	compare("Published", json.RawMessage(s.publish("r", "x").body))
	compare("Published", json.RawMessage(s.publish("h", "x").body))
	compare("Room", json.RawMessage(s.ask("GET", "/api/rooms/h", "").body))
	compare("Kept", json.RawMessage(s.ask("GET", "/api/rooms/h/messages", "").body))
	compare("Gone", json.RawMessage(s.ask("GET", "/api/rooms/h/messages?since=e:1", "").body))
	compare("Batch", json.RawMessage(s.publish("r", "1", "Content-Type", "application/x-ndjson").body))
	var refused map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s.ask("GET", "/api/rooms/nobody", "").body), &refused); err != nil {
		t.Fatal(err)
	}
	compare("Fault", refused["error"])
	compare("Disconnected", json.RawMessage(s.ask("DELETE", "/api/rooms/r/members", "").body))
	s.hears(c, 1, "x")
}

// A refusingGateway fails whatever it is asked for.
type refusingGateway struct {
	Gateway
	err error
}

func (g *refusingGateway) Allows(*gateway.Principal, string, gateway.Permission) bool { return true }

func (g *refusingGateway) MaxMessage() int64 { return 1 << 10 }

func (g *refusingGateway) RemoveKept(string) error { return g.err }

func (g *refusingGateway) PublishAt(string, gateway.Message) (hub.Published, error) {
	return hub.Published{}, g.err
}

func (g *refusingGateway) Kept(context.Context, string, hub.Start, int, int64) (gateway.KeptPage, error) {
	return gateway.KeptPage{}, g.err
}

func (g *refusingGateway) Send(context.Context, string, gateway.Message) error { return g.err }

func (g *refusingGateway) Connection(context.Context, string) (gateway.ConnInfo, error) {
	return gateway.ConnInfo{}, g.err
}

func (g *refusingGateway) Connections(context.Context, gateway.ConnQuery) ([]gateway.ConnInfo, int, error) {
	return nil, 0, g.err
}

func (g *refusingGateway) Disconnect(context.Context, string, string, gateway.Farewell) (gateway.Reach, error) {
	return gateway.Reach{}, g.err
}

func (g *refusingGateway) DisconnectRoom(context.Context, string, gateway.Farewell) (gateway.Reach, error) {
	return gateway.Reach{}, g.err
}

func (g *refusingGateway) DisconnectSubject(context.Context, string, string, gateway.Farewell) (gateway.Reach, error) {
	return gateway.Reach{}, g.err
}

// Whatever the gateway may refuse an operation with, and whoever is turned away from it, the
// document says that there is such an answer.
func TestOpenAPIDocumentHasEveryRefusal(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(testKey)
	if err != nil {
		t.Fatal(err)
	}
	g := new(refusingGateway)
	h, err := New(g, Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, query, key, host string) {
		t.Helper()
		asked := strings.NewReplacer("{room}", "r", "{id}", "0.1").Replace(path)
		r := httptest.NewRequest(strings.ToUpper(method), asked+query, strings.NewReader("x"))
		r.Host = host
		r.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var operation struct{ Responses map[string]any }
		if err := json.Unmarshal(doc.Paths[path][method], &operation); err != nil {
			t.Fatal(err)
		}
		if operation.Responses[strconv.Itoa(w.Code)] == nil {
			t.Errorf("%s %s: %d %s, of which the document says nothing", method, path, w.Code, w.Body)
		}
	}
	for path, operations := range doc.Paths {
		for method := range operations {
			if method != "$ref" {
				ask(method, path, "", "another", "localhost")
				ask(method, path, "", testKey, "evil.example")
			}
		}
	}
	const messages, ofRoom, ofConn = "/api/rooms/{room}/messages", "/api/rooms/{room}/members", "/api/connections/{id}"
	walk := []error{gateway.ErrBusy, gateway.ErrClosed}
	for _, one := range []struct {
		method, path, query string
		errs                []error
	}{
		{"post", messages, "", []error{
			gateway.ErrRoomName, gateway.ErrNotUTF8, gateway.ErrTooLarge, gateway.ErrRoomFull, gateway.ErrMemory, gateway.ErrTooManyRooms,
			gateway.ErrUnacknowledged, gateway.ErrClosed, gateway.ErrFault,
		}},
		{"get", messages, "", []error{gateway.ErrRoomName, gateway.ErrNoHistory, gateway.ErrTooManyRooms, gateway.ErrUnfilled}},
		{"delete", messages, "", append(walk, gateway.ErrRoomName, gateway.ErrNoHistory, gateway.ErrUnanswered)},
		{"delete", ofRoom, "", append(walk, gateway.ErrRoomName, gateway.ErrFarewell, gateway.ErrUnanswered)},
		{"get", "/api/connections", "", walk},
		{"delete", "/api/connections", "?subject=ann", append(walk, gateway.ErrRoomName, gateway.ErrFarewell, gateway.ErrUnanswered)},
		{"get", ofConn, "", append(walk, gateway.ErrNoConnection)},
		{"delete", ofConn, "", append(walk, gateway.ErrNoConnection, gateway.ErrFarewell, gateway.ErrUnanswered)},
		{"post", ofConn + "/messages", "", append(walk, gateway.ErrNotUTF8, gateway.ErrTooLarge, gateway.ErrNoConnection, gateway.ErrOutboxFull)},
	} {
		for _, g.err = range one.errs {
			ask(one.method, one.path, one.query, testKey, "localhost")
		}
	}
}
