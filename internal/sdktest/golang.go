package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge-go"

	"sluice/internal/testenv"
)

// What centrifuge-go waits for: short before it comes back, because tests wait for that, and not
// too long for an answer, because it waits for that of connect when its connection is gone already.
// When it tries to subscribe again it does not look whether it has said connect yet, which ends its
// connection for good on any server (3501): so that comes late, and seldom meets a connection that
// is being made.
const (
	minDelay     = 10 * time.Millisecond
	maxDelay     = 60 * time.Millisecond
	answerFor    = 2 * time.Second
	dialFor      = testenv.Patience * 3 / 4 // so that a test hears of an upgrade without an answer before it gives up
	subscribeMin = time.Second
	subscribeMax = 2 * time.Second
)

// A golang is a client of centrifuge-go.
type golang struct {
	client *centrifuge.Client
	add    func(Event) // hears of each event, from any goroutine
}

// queue gives out strings, the last one again and again.
func queue(all []string) func() string {
	var mu sync.Mutex
	return func() (next string) {
		mu.Lock()
		defer mu.Unlock()
		next = all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		return next
	}
}

func newGo(o Options, isProtobuf bool, add func(Event)) *golang {
	config := centrifuge.Config{
		MinReconnectDelay: minDelay, MaxReconnectDelay: maxDelay,
		HandshakeTimeout: dialFor, ReadTimeout: answerFor, WriteTimeout: testenv.Patience,
		EnableCompression: !isProtobuf,
	}
	if len(o.Tokens) > 0 {
		next := queue(o.Tokens)
		config.GetToken = func(centrifuge.ConnectionTokenEvent) (string, error) { return next(), nil }
	}
	open := centrifuge.NewJsonClient
	if isProtobuf {
		open = centrifuge.NewProtobufClient
	}
	g := &golang{client: open(o.URL, config), add: add}
	g.listen()
	return g
}

func (g *golang) listen() {
	c, add := g.client, g.add
	c.OnConnecting(func(e centrifuge.ConnectingEvent) { add(Event{Kind: "connecting", Code: e.Code, Reason: e.Reason}) })
	c.OnConnected(func(e centrifuge.ConnectedEvent) { add(Event{Kind: "connected", Client: e.ClientID}) })
	c.OnDisconnected(func(e centrifuge.DisconnectedEvent) { add(Event{Kind: "disconnected", Code: e.Code, Reason: e.Reason}) })
	c.OnError(func(e centrifuge.ErrorEvent) { add(failure("", e.Error)) })
	c.OnSubscribed(func(e centrifuge.ServerSubscribedEvent) {
		add(Event{
			Kind: "server subscribed", Room: e.Channel, Recoverable: e.Recoverable, WasRecovering: e.WasRecovering,
			Recovered: e.Recovered, Position: position(e.StreamPosition),
		})
	})
	c.OnSubscribing(func(e centrifuge.ServerSubscribingEvent) { add(Event{Kind: "server subscribing", Room: e.Channel}) })
	c.OnUnsubscribed(func(e centrifuge.ServerUnsubscribedEvent) { add(Event{Kind: "server unsubscribed", Room: e.Channel}) })
	c.OnPublication(func(e centrifuge.ServerPublicationEvent) {
		add(Event{Kind: "server publication", Room: e.Channel, Publication: publication(e.Publication)})
	})
}

func failure(room string, err error) Event {
	return Event{Kind: "error", Room: room, Code: refusal(err).Code, Reason: err.Error()}
}

func position(p *centrifuge.StreamPosition) *Position {
	if p == nil {
		return nil
	}
	return &Position{p.Offset, p.Epoch}
}

func publication(p centrifuge.Publication) Publication {
	all := Publication{Offset: p.Offset, Data: json.RawMessage(p.Data), Tags: p.Tags}
	if p.Info != nil {
		all.Info = info(*p.Info)
	}
	return all
}

func info(i centrifuge.ClientInfo) *Info {
	return &Info{Client: i.Client, User: i.User, ConnInfo: i.ConnInfo}
}

// refusal makes an error one of this package's, without a code if it is not of the protocol.
func refusal(err error) *Refusal {
	var pointer *centrifuge.Error
	if errors.As(err, &pointer) {
		return &Refusal{pointer.Code, pointer.Message}
	}
	var value centrifuge.Error
	if errors.As(err, &value) {
		return &Refusal{value.Code, value.Message}
	}
	return &Refusal{Message: err.Error()}
}

func (g *golang) subscribe(room string, tokens []string) error {
	config := centrifuge.SubscriptionConfig{MinResubscribeDelay: subscribeMin, MaxResubscribeDelay: subscribeMax, JoinLeave: true}
	if len(tokens) > 0 {
		next := queue(tokens)
		config.GetToken = func(centrifuge.SubscriptionTokenEvent) (string, error) { return next(), nil }
	}
	sub, err := g.client.NewSubscription(room, config)
	if err != nil {
		return err
	}
	add := g.add
	sub.OnSubscribing(func(e centrifuge.SubscribingEvent) {
		add(Event{Kind: "subscribing", Room: room, Code: e.Code, Reason: e.Reason})
	})
	sub.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		add(Event{
			Kind: "subscribed", Room: room, Recoverable: e.Recoverable, WasRecovering: e.WasRecovering,
			Recovered: e.Recovered, Position: position(e.StreamPosition),
		})
	})
	sub.OnUnsubscribed(func(e centrifuge.UnsubscribedEvent) {
		add(Event{Kind: "unsubscribed", Room: room, Code: e.Code, Reason: e.Reason})
	})
	sub.OnPublication(func(e centrifuge.PublicationEvent) {
		add(Event{Kind: "publication", Room: room, Publication: publication(e.Publication)})
	})
	sub.OnJoin(func(e centrifuge.JoinEvent) {
		add(Event{Kind: "join", Room: room, Publication: Publication{Info: info(e.ClientInfo)}})
	})
	sub.OnLeave(func(e centrifuge.LeaveEvent) {
		add(Event{Kind: "leave", Room: room, Publication: Publication{Info: info(e.ClientInfo)}})
	})
	sub.OnError(func(e centrifuge.SubscriptionErrorEvent) { add(failure(room, e.Error)) })
	return sub.Subscribe()
}

func (g *golang) unsubscribe(room string) error {
	sub, ok := g.client.GetSubscription(room)
	if !ok {
		return errors.New("there is no subscription")
	}
	return sub.Unsubscribe()
}

// ask bounds a call of the SDK.
func ask() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), testenv.Patience)
}

func (g *golang) publish(room string, data json.RawMessage) error {
	ctx, cancel := ask()
	defer cancel()
	_, err := g.client.Publish(ctx, room, data)
	return err
}

func (g *golang) history(room string, want Ask) (h History, err error) {
	ctx, cancel := ask()
	defer cancel()
	options := []centrifuge.HistoryOption{centrifuge.WithHistoryLimit(int32(want.Limit)), centrifuge.WithHistoryReverse(want.Reverse)}
	if want.Since != nil {
		options = append(options, centrifuge.WithHistorySince(&centrifuge.StreamPosition{Offset: want.Since.Offset, Epoch: want.Since.Epoch}))
	}
	got, err := g.client.History(ctx, room, options...)
	for _, p := range got.Publications {
		h.Publications = append(h.Publications, publication(p))
	}
	h.Position = Position{got.Offset, got.Epoch}
	return h, err
}

func (g *golang) presence(room string) (all []Info, err error) {
	ctx, cancel := ask()
	defer cancel()
	got, err := g.client.Presence(ctx, room)
	for _, one := range got.Clients {
		all = append(all, *info(one))
	}
	return all, err
}

func (g *golang) presenceStats(room string) (Stats, error) {
	ctx, cancel := ask()
	defer cancel()
	got, err := g.client.PresenceStats(ctx, room)
	return Stats{got.NumClients, got.NumUsers}, err
}

func (g *golang) rpc(method string) error {
	ctx, cancel := ask()
	defer cancel()
	_, err := g.client.RPC(ctx, method, []byte("{}"))
	return err
}
