package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"sluice/gateway"
)

// What is done to clients under Centrifugo's names.

// cDisconnect: user, client or both, disconnect{code, reason}. A user is a token's subject.
func (h *Handler) cDisconnect(ctx context.Context, k *Key, p params) (any, *fault) {
	f := gateway.Farewell{Code: 3503, Reason: "force disconnect"}
	if given := p["disconnect"]; !isNothing(given) {
		var told struct {
			Code   int    `json:"code"`
			Reason string `json:"reason"`
		}
		if json.Unmarshal(given, &told) != nil {
			return nil, &cBadRequest
		}
		f = gateway.Farewell(told)
	}
	return h.cEach(ctx, k, p,
		func(client, user string) (gateway.Reach, error) { return h.gateway.Disconnect(ctx, client, user, f) },
		func(user string) (gateway.Reach, error) { return h.gateway.DisconnectSubject(ctx, user, "", f) })
}

// cUnsubscribe: user, client or both, channel. A connection without a protocol is its room's: it
// ends.
func (h *Handler) cUnsubscribe(ctx context.Context, k *Key, p params) (any, *fault) {
	channel, ok := p.text("channel")
	if !ok || channel == "" {
		return nil, &cBadRequest
	}
	f := gateway.Farewell{Code: 3503, Reason: "unsubscribed"}
	return h.cEach(ctx, k, p,
		func(client, user string) (gateway.Reach, error) {
			return h.gateway.Unsubscribe(ctx, client, user, channel, f)
		},
		func(user string) (gateway.Reach, error) { return h.gateway.UnsubscribeSubject(ctx, user, channel, f) })
}

// cSubscribe: user, client or both, channel, info, expire_at. A connection without a protocol stays
// in its room.
func (h *Handler) cSubscribe(ctx context.Context, k *Key, p params) (any, *fault) {
	channel, ok := p.text("channel")
	var given gateway.Placement
	var isSeconds bool
	given.Expires, isSeconds = p.seconds("expire_at")
	switch {
	case !ok || channel == "" || !isSeconds:
		return nil, &cBadRequest
	case p.hasAny("b64info", "data", "b64data", "recover_since", "override"): // Or it would be told something else than it is meant to be.
		return nil, &cNotAvailable
	}
	if p.has("info") {
		var compact bytes.Buffer
		_ = json.Compact(&compact, p["info"]) // It was parsed.
		given.Info = compact.Bytes()
	}
	return h.cEach(ctx, k, p,
		func(client, user string) (gateway.Reach, error) {
			return h.gateway.Subscribe(ctx, client, user, channel, given)
		},
		func(user string) (gateway.Reach, error) { return h.gateway.SubscribeSubject(ctx, user, channel, given) })
}

// cRefresh: user, client or both, expire_at, expired. Without a time the connection ends by no
// token any more.
func (h *Handler) cRefresh(ctx context.Context, k *Key, p params) (any, *fault) {
	expires, ok := p.seconds("expire_at")
	var isOver bool
	switch {
	case !ok, !p.read("expired", &isOver):
		return nil, &cBadRequest
	case p.hasAny("info"): // What others are told of a client is its token's.
		return nil, &cNotAvailable
	case isOver:
		expires = 1
	}
	return h.cEach(ctx, k, p,
		func(client, user string) (gateway.Reach, error) { return h.gateway.Refresh(ctx, client, user, expires) },
		func(user string) (gateway.Reach, error) { return h.gateway.RefreshSubject(ctx, user, expires) })
}

// cEach does something to a client, or to all of a user's. A client and a user together are that
// client if it is that user's.
func (h *Handler) cEach(ctx context.Context, k *Key, p params,
	toClient func(client, user string) (gateway.Reach, error), toUser func(string) (gateway.Reach, error),
) (any, *fault) {
	var client, user string
	areTexts := p.read("client", &client) && p.read("user", &user)
	switch {
	case !k.isForAll():
		return nil, &faultWhole
	case !areTexts: // A client that is not one might be taken for none, and all of its user's be meant.
		return nil, &cBadRequest
	case p.hasAny("whitelist", "session"): // Or it would be done to somebody who is not meant.
		return nil, &cNotAvailable
	case client == "" && user == "": // Or to all who have no name, which is everybody.
		return nil, &cBadRequest
	}
	var reach gateway.Reach
	var err error
	if client != "" {
		reach, err = toClient(client, user)
	} else {
		reach, err = toUser(user)
	}
	if errors.Is(err, gateway.ErrNoConnection) {
		err = nil
	}
	if err == nil && !reach.IsWhole() && (client == "" || reach.Clients == 0) {
		err = gateway.ErrUnanswered
	}
	return struct{}{}, faultOf(err)
}
