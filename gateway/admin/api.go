package admin

import (
	"cmp"
	"log/slog"
	"net/http"

	"sluice/gateway"
)

// New returns a Handler with the API below and its like under Centrifugo's names. The error is
// that of a host name.
func New(g Gateway, o Options) (*Handler, error) {
	h := &Handler{
		gateway: g, version: o.Version,
		log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), clock: newClock(),
		mux: http.NewServeMux(), routes: map[string]bool{},
	}
	h.local.holder.Kind = gateway.KindKey
	h.repeats.init()
	if err := h.Reload(o); err != nil {
		return nil, err
	}
	h.addAPI()
	h.addCentrifugo()
	return h, nil
}

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
