package admin

import (
	"context"
	"encoding/json"

	"sluice/gateway"
)

// An attendeeJSON is a client in a room as Centrifugo tells of it.
type attendeeJSON struct {
	Client   string          `json:"client"`
	User     string          `json:"user"`
	ConnInfo json.RawMessage `json:"conn_info,omitempty"`
	ChanInfo json.RawMessage `json:"chan_info,omitempty"`
}

// channelFor is the channel that a method is about, in which a key may do all of want.
func (h *Handler) channelFor(k *Key, p params, want gateway.Permission) (channel string, _ *fault) {
	channel, ok := p.text("channel")
	switch {
	case !ok || channel == "":
		return "", &cBadRequest
	case !h.allows(k, channel, want):
		return "", &faultRooms
	}
	return channel, nil
}

// cPresence: channel. Of more clients than are told none are, lest they be taken for all.
func (h *Handler) cPresence(ctx context.Context, k *Key, p params) (any, *fault) {
	channel, fault := h.channelFor(k, p, gateway.Presence)
	if fault != nil {
		return nil, fault
	}
	all, err := h.gateway.Attendees(ctx, channel)
	if err != nil {
		return nil, cFaultOf(err)
	}
	presence := map[string]attendeeJSON{}
	for i := range all {
		a := &all[i]
		presence[a.ID] = attendeeJSON{a.ID, a.User, a.ConnInfo, a.ChanInfo}
	}
	return struct {
		Presence map[string]attendeeJSON `json:"presence"`
	}{presence}, nil
}

// cPresenceStats: channel. A user is a token's subject; clients that are not known are one user, as
// there.
func (h *Handler) cPresenceStats(ctx context.Context, k *Key, p params) (any, *fault) {
	channel, fault := h.channelFor(k, p, gateway.Presence)
	if fault != nil {
		return nil, fault
	}
	clients, users := h.gateway.Clients(channel), 0
	if clients > 0 {
		var err error
		if users, err = h.gateway.Users(ctx, channel); err != nil {
			return nil, faultOf(err)
		}
	}
	return struct {
		Clients int `json:"num_clients"`
		Users   int `json:"num_users"`
	}{clients, users}, nil
}
