package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/nats-io/nats-server/v2/server"

	"sluice/gateway"
	"sluice/hub"
	"sluice/hub/cluster"
	"sluice/hub/cluster/natsbroker"
	"sluice/internal/gatewaytest"
	"sluice/internal/natstest"
	"sluice/internal/sdktest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A member is a gateway whose rooms' order is a stream of JetStream's, which it shares with others.
type member struct {
	*gateway.Server
	addr string
	api  string // URL of its rooms' messages, up to the room
	node *cluster.Node
	stop func() // the node's end, without a word to the gateway
}

// startMember runs one until the test ends. Rooms that begin with kept keep a thousand messages.
func startMember(t *testing.T, url string, change func(*gateway.Options)) *member {
	t.Helper()
	broker, err := natsbroker.Dial(natsbroker.Options{
		URLs: []string{url}, Replicas: 1, Age: 10 * time.Minute, Messages: 1000, Bytes: 256 << 20, MaxMessage: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	m, o := new(member), keeping(1000)
	o.Cluster = func(r gateway.Rooms) gateway.Cluster {
		m.node = cluster.New(cluster.Options{HistoryOf: r.HistoryOf, PublishTimeout: o.ClusterTimeout}, broker, r)
		return m.node
	}
	if change != nil {
		change(&o)
	}
	m.Server, m.addr = gatewaytest.Start(t, o)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.node.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the node could not go on: %v", err)
		}
	})
	t.Cleanup(m.stop)
	m.api = "http://" + serveAdmin(t, m.Server, "tcp", "127.0.0.1:0").Addr().String() + "/api/rooms/"
	return m
}

// post publishes over HTTP, and returns where that is in its room.
func (m *member) post(ctx context.Context, room, text, key string) (hub.Position, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.api+room+"/messages", strings.NewReader(text))
	if err != nil {
		return hub.Position{}, err
	}
	r.Header.Set("X-API-Key", adminKey)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return hub.Position{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return hub.Position{}, fmt.Errorf("%s %s, %w", answer.Status, body, err)
	}
	var at hub.Position
	return at, json.Unmarshal(body, &at)
}

// Whichever of two gateways they are at, and whichever way they publish, everybody hears one order,
// and each publisher's own in it.
func TestTwoGatewaysHaveOneOrder(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	each := 50
	if testenv.IsWholeSize(t) {
		each = 2000
	}
	url := natstest.Start(t).ClientURL()
	all := []*member{startMember(t, url, nil), startMember(t, url, nil)}
	for _, room := range []string{"plain", "kept"} {
		var readers []*gorilla.Conn
		for _, m := range all {
			c, _, err := gorilla.DefaultDialer.Dial("ws://"+m.addr+"/ws/"+room, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			readers = append(readers, c)
		}
		for _, m := range all {
			testenv.Eventually(t, "the room is followed", func() bool { i, ok := m.Room(room); return ok && !i.IsFull && m.node.IsOpen(room) })
		}
		var publishers sync.WaitGroup
		publish := func(name string, say func(ctx context.Context, text string) error) {
			publishers.Go(func() {
				for i := range each {
					if err := say(t.Context(), fmt.Sprintf("%s %d", name, i)); err != nil {
						t.Errorf("%s %d: %v", name, i, err)
						return
					}
				}
			})
		}
		for i, m := range all {
			raw := wstest.Dial(t, m.addr, "/ws/"+room+"?echo=0")
			publish(fmt.Sprint("raw", i), func(ctx context.Context, text string) error {
				return raw.Write(ctx, websocket.MessageText, []byte(text))
			})
			sdk := sdktest.OfGo[0].Open(t, sdktest.Options{URL: spokenAt(m.addr)})
			sdk.Connect()
			publish(fmt.Sprint("sdk", i), func(_ context.Context, text string) error {
				for { // Where there is no place, it is told so, and comes again.
					err := sdk.Publish(room, []byte(strconv.Quote(text)))
					if busy := new(sdktest.Refusal); !errors.As(err, &busy) || busy.Code != 111 {
						return err
					}
				}
			})
			publish(fmt.Sprint("http", i), func(ctx context.Context, text string) error {
				at, err := m.post(ctx, room, text, "")
				for err != nil && strings.Contains(err.Error(), "room_full") {
					at, err = m.post(ctx, room, text, "")
				}
				if err == nil && (room == "kept") != (at.Offset > 0) {
					err = fmt.Errorf("it is at %v", at)
				}
				return err
			})
		}
		var order []string
		for i, c := range readers {
			next := map[string]int{}
			for n := range 6 * each {
				_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
				_, p, err := c.ReadMessage()
				if err != nil {
					t.Fatalf("behind %d messages: %v", n, err)
				}
				text := strings.Trim(string(p), `"`)
				name, no, _ := strings.Cut(text, " ")
				if no != strconv.Itoa(next[name]) {
					t.Fatalf("reader %d got %q, want number %d", i, text, next[name])
				}
				next[name]++
				if i == 0 {
					order = append(order, text)
				} else if order[n] != text {
					t.Fatalf("message %d is %q for one, and %q for the other", n, order[n], text)
				}
			}
		}
		publishers.Wait()
	}
}

// A client goes from one gateway to the other again and again while messages flow, by events and by
// an SDK, and gets each once.
func TestClientsHopBetweenGateways(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	messages, hop := 300, 15
	if testenv.IsWholeSize(t) {
		messages, hop = 5000, 97
	}
	url := natstest.Start(t).ClientURL()
	all := []*member{startMember(t, url, nil), startMember(t, url, nil)}
	ctx, cancel := context.WithCancel(t.Context())
	var flow sync.WaitGroup
	defer flow.Wait()
	defer cancel()
	events := wstest.Listen(t, all[0].addr, "/sse/kept")
	way, err := newRelay(all)
	if err != nil {
		t.Fatal(err)
	}
	defer way.close()
	client := sdktest.OfGo[0].Open(t, sdktest.Options{URL: spokenAt(way.listener.Addr().String())})
	client.Subscribe("kept")
	client.Connect()
	heard := client.Events()
	heard.Expect(t, "subscribed", "kept", 1)
	flow.Go(func() {
		for i := range messages {
			if _, err := all[i%2].post(ctx, "kept", strconv.Itoa(i), fmt.Sprint("key", i)); err != nil && ctx.Err() == nil {
				t.Error(i, err)
				return
			}
		}
	})
	sdkDone := make(chan error, 1)
	flow.Go(func() { sdkDone <- hopBySDK(heard, way, messages, hop, ctx.Done()) })
	for i := range messages {
		e := events.Expect("message", strconv.Itoa(i))
		if (i+1)%hop == 0 {
			events.Close()
			events = wstest.Listen(t, all[(i/hop+1)%2].addr, "/sse/kept", resumeAt(e.ID))
		}
	}
	if err := <-sdkDone; err != nil {
		t.Error(err)
	}
	expectAllNumbers(t, heard, messages)
}

// hopBySDK makes an SDK get messages that are their numbers, while its connection breaks and leads
// to the next gateway behind every few of them.
func hopBySDK(events *sdktest.Record, way *relay, messages, hop int, stop <-chan struct{}) error {
	for next := hop; next <= messages; next += hop {
		err := events.Wait(fmt.Sprint(next, " messages"), func() bool { return events.Count("publication", "kept") >= next }, stop)
		if err != nil {
			return err
		}
		way.lead()
	}
	return events.Wait("all messages", func() bool { return events.Count("publication", "kept") >= messages }, stop)
}

// expectAllNumbers holds what an SDK was given to all numbers, in order, each once, and nothing
// given up.
func expectAllNumbers(t *testing.T, events *sdktest.Record, messages int) {
	t.Helper()
	for i, e := range events.Of("publication", "kept") {
		if got := strings.Trim(string(e.Data), `"`); got != strconv.Itoa(i) {
			t.Fatalf("behind %d messages came %s", i, got)
		}
	}
	if got := events.Count("publication", "kept"); got != messages {
		t.Errorf("%d messages, want %d", got, messages)
	}
	for _, e := range events.Of("subscribed", "kept") {
		if e.WasRecovering && !e.Recovered {
			t.Error(e)
		}
	}
}

// A relay is a way that leads to one gateway after the other.
type relay struct {
	listener net.Listener
	all      []*member

	mu    sync.Mutex
	to    int
	conns []net.Conn
	wait  sync.WaitGroup
}

func newRelay(all []*member) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, all: all}
	r.wait.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			r.join(from)
		}
	})
	return r, nil
}

func (r *relay) join(from net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, err := net.Dial("tcp", r.all[r.to%len(r.all)].addr)
	if err != nil {
		from.Close()
		return
	}
	r.conns = append(r.conns, from, to)
	for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
		r.wait.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			pair[0].Close()
		})
	}
}

// lead breaks what leads to one gateway, and leads to the next.
func (r *relay) lead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to++
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *relay) close() {
	r.listener.Close()
	r.lead()
	r.wait.Wait()
}

// Without a broker the gateway starts, lets clients in, and has publishers wait; when it comes all
// goes on.
func TestGatewayWaitsForItsBroker(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	port := natstest.Ports(t, 1)[0]
	m := startMember(t, fmt.Sprintf("nats://127.0.0.1:%d", port), func(o *gateway.Options) { o.ClusterTimeout = 300 * time.Millisecond })
	raw := wstest.Dial(t, m.addr, "/ws/plain")
	if err := raw.Write(t.Context(), websocket.MessageText, []byte("early")); err != nil {
		t.Fatal(err)
	}
	if m.Ready() == nil {
		t.Error("it is ready without a broker")
	}
	if _, err := m.post(t.Context(), "plain", "late", ""); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("over HTTP: %v", err)
	}
	natstest.Start(t, func(o *server.Options) { o.Port = port })
	for got := ""; got != "early"; { // What HTTP was not told of may come before it.
		_, p, err := raw.Read(t.Context())
		if got = string(p); err != nil || got != "late" && got != "early" {
			t.Fatalf("%q, %v", p, err)
		}
	}
	testenv.Eventually(t, "it is ready", func() bool { return m.Ready() == nil })
}
