package admin

import (
	"context"
	"encoding/json"

	"sluice/gateway"
)

// cPublish: channel, data or b64data, idempotency_key. In a room without history there is no offset
// to tell. Tags do not go out with a message, and a version decides nothing here.
func (h *Handler) cPublish(_ context.Context, k *Key, p params) (any, *fault) {
	channel, ok := p.text("channel")
	m, fault := p.message()
	if !ok || fault != nil {
		return nil, &cBadRequest
	}
	return h.cPublishTo(k, channel, p, m)
}

func (h *Handler) cPublishTo(k *Key, channel string, p params, m gateway.Message) (any, *fault) {
	repeat, _ := p.text("idempotency_key")
	var version uint64
	var tags map[string]string
	var isNotKept bool
	for name, to := range map[string]any{"version": &version, "tags": &tags, "skip_history": &isNotKept} {
		if !p.read(name, to) {
			return nil, &cBadRequest
		}
	}
	if p.has("idempotency_key") && !isRepeatKey(repeat) {
		return nil, &cBadRequest
	}
	if !h.allows(k, channel, gateway.Publish) {
		return nil, &faultRooms
	}
	if version > 0 || len(tags) > 0 || isNotKept && h.gateway.Keeps(channel) {
		return nil, &cNotAvailable // Or clients would get something else than is meant.
	}
	one := h.publishOne(k, channel, repeat, m)
	if one.fault != nil {
		return nil, one.fault
	}
	return positionOf(one.Position), nil
}

// cBroadcast: channels, and what publish has.
func (h *Handler) cBroadcast(_ context.Context, k *Key, p params) (any, *fault) {
	var channels []string
	m, fault := p.message()
	if json.Unmarshal(p["channels"], &channels) != nil || len(channels) == 0 || fault != nil {
		return nil, &cBadRequest
	}
	if len(channels) > channelsMax {
		return nil, &cTooMany
	}
	responses := make([]reply, 0, len(channels))
	for _, channel := range channels {
		responses = append(responses, replyOf(h.cPublishTo(k, channel, p, m)))
	}
	return struct {
		Responses []reply `json:"responses"`
	}{responses}, nil
}
