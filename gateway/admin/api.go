package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/gateway"
	"sluice/hub"
)

// Gateway is what the API asks of a [gateway.Server].
type Gateway interface {
	PublishAt(room string, m gateway.Message) (hub.Published, error)
	PublishAhead(room string, m gateway.Message) (p hub.Published, wait func() (hub.Published, error), err error)
	Kept(ctx context.Context, room string, start hub.Start, limit int, bytes int64) (gateway.KeptPage, error)
	Keeps(room string) bool
	RemoveKept(room string) error
	Send(ctx context.Context, id string, m gateway.Message) error
	Room(name string) (gateway.RoomInfo, bool)
	Rooms(q gateway.RoomQuery) (rooms []gateway.RoomInfo, total int)
	Connection(ctx context.Context, id string) (gateway.ConnInfo, error)
	Connections(ctx context.Context, q gateway.ConnQuery) (conns []gateway.ConnInfo, total int, err error)
	Disconnect(ctx context.Context, id, subject string, f gateway.Farewell) (gateway.Reach, error)
	DisconnectRoom(ctx context.Context, room string, f gateway.Farewell) (gateway.Reach, error)
	DisconnectSubject(ctx context.Context, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	Unsubscribe(ctx context.Context, id, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	UnsubscribeSubject(ctx context.Context, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	Subscribe(ctx context.Context, id, subject, room string, p gateway.Placement) (gateway.Reach, error)
	SubscribeSubject(ctx context.Context, subject, room string, p gateway.Placement) (gateway.Reach, error)
	Refresh(ctx context.Context, id, subject string, expires int64) (gateway.Reach, error)
	RefreshSubject(ctx context.Context, subject string, expires int64) (gateway.Reach, error)
	Subscriptions() int
	Users(ctx context.Context, room string) (n int, err error)
	UsersByNode(ctx context.Context) (map[string]int, error)
	Attendees(ctx context.Context, room string) ([]gateway.Attendee, error)
	Clients(room string) int
	Channels(pattern string, limit int) (clients map[string]int, isWhole bool)
	Nodes() []hub.NodeInfo
	Allows(p *gateway.Principal, room string, want gateway.Permission) bool
	Open() int
	MaxMessage() int64
}

// askFor is how long loops have to answer.
const askFor = 5 * time.Second

// addAPI adds the routes, with what a key has to allow in the room of the path; nothing: it has to
// be for all rooms.
func (h *Handler) addAPI() {
	for _, route := range []struct {
		pattern string
		want    gateway.Permission
		to      http.HandlerFunc
	}{
		{"POST /api/rooms/{room}/messages", gateway.Publish, h.publish},
		{"GET /api/rooms/{room}/messages", mayReadKept, h.readKept},
		{"DELETE /api/rooms/{room}/messages", gateway.Publish | gateway.History, h.removeKept},
		{"GET /api/rooms/{room}", gateway.Presence, h.room},
		{"DELETE /api/rooms/{room}/members", gateway.Publish | gateway.Presence, h.disconnectRoom},
		{"GET /api/rooms", 0, h.listRooms},
		{"GET /api/connections", 0, h.listConnections},
		{"GET /api/connections/{id}", 0, h.connection},
		{"DELETE /api/connections/{id}", 0, h.disconnect},
		{"DELETE /api/connections", 0, h.disconnectSubject},
		{"POST /api/connections/{id}/messages", 0, h.send},
	} {
		h.Handle(route.pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch k := usedKey(r); {
			case route.want == 0 && !k.isForAll():
				faultWhole.write(w)
			case route.want != 0 && !h.allows(k, r.PathValue("room"), route.want):
				faultRooms.write(w)
			default:
				route.to(w, r)
			}
		}))
	}
	h.Handle("GET /api/openapi.json", http.HandlerFunc(serveOpenAPI))
}

// allows reports whether a key is for this in the room.
func (h *Handler) allows(k *Key, room string, want gateway.Permission) bool {
	return h.gateway.Allows(&k.holder, room, want)
}

// query reads what stands behind the path: each of these names once at most, and nothing else.
// Callers say in words of their own what may stand there.
func query(r *http.Request, names ...string) (map[string]string, *fault) {
	found := map[string]string{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	for name, list := range values {
		isKnown := false
		for _, known := range names {
			isKnown = isKnown || name == known
		}
		if !isKnown || len(list) > 1 {
			return nil, &faultQuery
		}
		found[name] = list[0]
	}
	if err != nil {
		return nil, &faultQuery
	}
	return found, nil
}

const (
	listed    = 100  // rooms or connections, unless more are asked for …
	listedMax = 1000 // … at most so many
)

// limitOf reads a limit, which is otherwise this.
func limitOf(text string, otherwise int) (n int, ok bool) {
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && 1 <= n && n <= listedMax
}
