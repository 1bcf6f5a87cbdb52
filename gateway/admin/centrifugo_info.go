package admin

import (
	"context"
	"os"
	"path"

	"sluice/gateway"
)

type clientsJSON struct {
	Clients int `json:"num_clients"`
}

// cChannels: pattern. Of more than fit in an answer none are told, lest it be taken for all.
func (h *Handler) cChannels(_ context.Context, k *Key, p params) (any, *fault) {
	pattern, ok := p.text("pattern")
	if _, err := path.Match(pattern, ""); err != nil || !ok && p.has("pattern") {
		return nil, &cBadRequest
	}
	if !k.isForAll() {
		return nil, &faultWhole
	}
	clients, isWhole := h.gateway.Channels(pattern, channelsMax)
	if !isWhole {
		return nil, &cTooMany
	}
	channels := map[string]clientsJSON{}
	for name, n := range clients {
		channels[name] = clientsJSON{n}
	}
	return struct {
		Channels map[string]clientsJSON `json:"channels"`
	}{channels}, nil
}

// A nodeJSON is one gateway: this one, or one of its cluster.
type nodeJSON struct {
	UID      string `json:"uid"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Clients  int    `json:"num_clients"`
	Users    int    `json:"num_users"`
	Subs     int    `json:"num_subs"`
	Channels int    `json:"num_channels"`
	Uptime   int64  `json:"uptime"`
}

// cInfo has no parameters. A client without a protocol is in one room, which is its one
// subscription; clients that are not known are one user.
func (h *Handler) cInfo(ctx context.Context, k *Key, _ params) (any, *fault) {
	if !k.isForAll() {
		return nil, &faultWhole
	}
	users, err := h.gateway.UsersByNode(ctx)
	if err != nil {
		return nil, faultOf(err)
	}
	var told struct {
		Nodes []nodeJSON `json:"nodes"`
	}
	for _, n := range h.gateway.Nodes() {
		told.Nodes = append(told.Nodes, nodeJSON{
			UID: n.ID, Name: n.Name, Version: n.Version, Clients: n.Connections, Users: users[n.ID], Subs: n.Members,
			Channels: n.Rooms, Uptime: int64(n.Uptime.Seconds()),
		})
	}
	if told.Nodes == nil {
		told.Nodes = []nodeJSON{{}}
	}
	self := &told.Nodes[0] // Of which more is known than was told.
	if self.Name == "" {
		self.Name, _ = os.Hostname()
		self.UID, self.Users = self.Name, users[""]
	}
	_, self.Channels = h.gateway.Rooms(gateway.RoomQuery{Less: gateway.ByName})
	self.Version, self.Clients, self.Subs = h.version, h.gateway.Open(), h.gateway.Subscriptions()
	self.Uptime = int64(h.clock.now().Seconds())
	return told, nil
}
