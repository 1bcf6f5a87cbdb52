package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// awaitMembers waits until a room has so many members, and is filled.
func awaitMembers(t *testing.T, s *Server, room string, n int) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d members of %s", n, room), func() bool {
		r, ok := s.hub.Room(room)
		return ok && r.IsWhole() && !r.Stats().IsFull && r.Stats().Members == n
	})
}

// Whoever publishes, on whichever gateway and whichever way, everybody hears it, in one order.
func TestClusterGivesRoomsTheirOrder(t *testing.T) {
	for _, room := range []string{"plain", "kept.a"} {
		t.Run(room, func(t *testing.T) {
			c := newScripted()
			s1, addr1 := startGateway(t, clustered(c, nil))
			s2, addr2 := startGateway(t, clustered(c, nil))
			var readers []*websocket.Conn
			for _, addr := range []string{addr1, addr2, addr1, addr2} {
				readers = append(readers, wstest.Dial(t, addr, "/ws/"+room))
			}
			awaitMembers(t, s1, room, 2)
			awaitMembers(t, s2, room, 2)
			raw, speaker, peer := wstest.Dial(t, addr1, "/ws/"+room), wstest.Dial(t, addr2, "/ws/"+room+"?echo=0"), connectPeer(t, addr2)
			peer.say(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, room))
			peer.next()
			stranger := connectPeer(t, addr1)
			const each = 40
			var all sync.WaitGroup
			for name, say := range map[string]func(text string) error{
				"raw":     func(text string) error { return raw.Write(t.Context(), websocket.MessageText, []byte(text)) },
				"speaker": func(text string) error { return speaker.Write(t.Context(), websocket.MessageText, []byte(text)) },
				"peer": func(text string) error {
					return peer.conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"id":9,"publish":{"channel":%q,"data":%q}}`, room, text))
				},
				"stranger": func(text string) error {
					return stranger.conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"id":9,"publish":{"channel":%q,"data":%q}}`, room, text))
				},
				"program": func(text string) error {
					p, err := s2.PublishAt(room, Message{Data: []byte(text)})
					if isKept := room != "plain"; err == nil && (isKept != (p.Epoch == "epoch001") || isKept != (p.Offset%1024 == 0 && p.Offset > 0) || p.Members < 3) {
						err = fmt.Errorf("it is at %v, of %d members", p.Position, p.Members)
					}
					return err
				},
			} {
				all.Go(func() {
					for i := range each {
						if err := say(fmt.Sprintf("%s %d", name, i)); err != nil {
							t.Error(name, err)
							return
						}
					}
				})
			}
			all.Wait()
			var order []string
			for i, r := range readers {
				next := map[string]int{}
				for n := range 5 * each {
					_, p, err := r.Read(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					text := strings.Trim(string(p), `"`)
					name, no, _ := strings.Cut(text, " ")
					if no != fmt.Sprint(next[name]) {
						t.Fatalf("reader %d got %q, want %d of it", i, text, next[name])
					}
					next[name]++
					if i == 0 {
						order = append(order, text)
					} else if order[n] != text {
						t.Fatalf("message %d is %q for reader 0, and %q for reader %d", n, order[n], text, i)
					}
				}
			}
		})
	}
}

// A client that asked for what is kept, and has gone, is not waited for.
func TestKeptWaitsNoLongerThanWhoAsks(t *testing.T) {
	c := newScripted()
	c.isStuck = func(string) bool { return true }
	cfg := clustered(c, nil)
	cfg.ClusterTimeout = time.Hour
	s, _ := startGateway(t, cfg)
	asks, goes := context.WithCancel(t.Context())
	answers := make(chan error, 1)
	go func() {
		_, err := s.Kept(asks, "kept.b", hub.Start{}, 10, 1<<20)
		answers <- err
	}()
	testenv.Eventually(t, "the room is being opened", func() bool { _, isThere := s.hub.Room("kept.b"); return isThere })
	select {
	case err := <-answers:
		t.Fatal("nothing is waited for:", err)
	default:
	}
	goes()
	if err := <-answers; !errors.Is(err, ErrUnfilled) {
		t.Error(err)
	}
}

// While the cluster cannot be reached clients are let in, publishers wait, and /readyz says so;
// then all goes on.
func TestGatewayStartsWithoutItsCluster(t *testing.T) {
	t.Parallel()
	c := newScripted()
	c.isDown = true
	cfg := clustered(c, nil)
	cfg.ClusterTimeout, cfg.HandshakeTimeout = 50*time.Millisecond, 2*time.Second
	s, addr := startGateway(t, cfg)
	raw := wstest.Dial(t, addr, "/ws/a")
	if err := raw.Write(t.Context(), websocket.MessageText, []byte("early")); err != nil {
		t.Fatal(err)
	}
	if status, body := readinessOf(t, wstest.Connect(t, addr)); status != 503 || body != readinesses[isCutOff].text+"\n" || s.Ready() == nil {
		t.Errorf("/readyz: %d %q", status, body)
	}
	events := wstest.Listen(t, addr, "/sse/kept.a?since=epoch001:00000000000000000001")
	events.Expect("reset", `{"reason":"epoch"}`)
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"kept.a"}}`)
	p.expect(`{"id":2,"subscribe":{}}`)
	if _, err := s.PublishAt("kept.a", Message{Data: []byte("x")}); !errors.Is(err, ErrUnacknowledged) {
		t.Error("from outside:", err)
	}
	if _, err := s.Kept(t.Context(), "kept.b", hub.Start{}, 10, 1<<20); !errors.Is(err, ErrUnfilled) {
		t.Error("what is kept:", err)
	}
	p.say(`{"id":3,"history":{"channel":"kept.c","limit":1}}`)
	p.expect(`{"id":3,"error":{"code":100,"message":"internal server error","temporary":true}}`)
	c.set(func() { c.isDown = false }) // What was published is in what fills the room.
	wstest.ExpectText(t, raw, "early")
	events.Expect("reset", `{"reason":"epoch","position":"epoch001:00000000000000001024"}`)
	p.expect(`{"push":{"channel":"kept.a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`)
	if st := testenv.StatsOf(t, s); st.Hub.Reset != 2 || st.Unacknowledged != 1 {
		t.Errorf("%d were told, %d not acknowledged", st.Hub.Reset, st.Unacknowledged)
	}
}

// Positions mean the same on all gateways, and what is kept is to be had on each.
func TestClientsComeBackToAnotherGateway(t *testing.T) {
	c := newScripted()
	s1, addr1 := startGateway(t, clustered(c, nil))
	s2, addr2 := startGateway(t, clustered(c, nil))
	events := wstest.Listen(t, addr1, "/sse/kept.a")
	for i := range 3 {
		if _, err := s1.Publish("kept.a", Message{Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	first := events.Expect("message", "0")
	again := wstest.Listen(t, addr2, "/sse/kept.a", "Last-Event-ID: "+first.ID)
	again.Expect("message", "1")
	again.Expect("message", "2")
	p := connectPeer(t, addr2)
	p.say(`{"id":2,"subscribe":{"channel":"kept.a","recover":true,"epoch":"epoch001","offset":2048}}`)
	p.expect(`{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"epoch001","recovered":true,"was_recovering":true,"offset":2048}}`, pushed("kept.a", `"2"`, 3072, ""))
	third := connectPeer(t, addr1)
	third.say(`{"id":2,"history":{"channel":"kept.b","limit":10}}`)
	third.expect(`{"id":2,"history":{"epoch":"epoch001","offset":0,"publications":[]}}`)
	if _, err := s2.Publish("kept.c", Message{Data: []byte("c")}); err != nil {
		t.Fatal(err)
	}
	page, err := s1.Kept(t.Context(), "kept.c", hub.Start{}, 10, 1<<20)
	if err != nil || len(page.Messages) != 1 || string(page.Messages[0].Data) != "c" || page.End != (hub.Position{Epoch: "epoch001", Offset: 4096}) {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestKeyIsOfAllGateways(t *testing.T) {
	c := newScripted()
	s1, addr := startGateway(t, clustered(c, nil))
	s2, _ := startGateway(t, clustered(c, nil))
	raw := wstest.Dial(t, addr, "/ws/kept.a")
	a, err := s1.PublishAt("kept.a", Message{Data: []byte("once"), Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s2.PublishAt("kept.a", Message{Data: []byte("once"), Key: "k"}); err != nil || a.Position != b.Position {
		t.Errorf("%v and %v, %v", a, b, err)
	}
	_, _ = s2.Publish("kept.a", Message{Data: []byte("end")})
	wstest.ExpectText(t, raw, "once")
	wstest.ExpectText(t, raw, "end")
}

// A stream that is not what it was begins anew, and everybody who can be told is.
func TestNewEpochIsTold(t *testing.T) {
	c := newScripted()
	s, addr := startGateway(t, clustered(c, nil))
	events, p, raw := wstest.Listen(t, addr, "/sse/kept.a"), connectPeer(t, addr), wstest.Dial(t, addr, "/ws/plain")
	p.say(`{"id":2,"subscribe":{"channel":"kept.a"}}`)
	p.next()
	awaitMembers(t, s, "kept.a", 2)
	awaitMembers(t, s, "plain", 1)
	if _, err := s.Publish("kept.a", Message{Data: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	events.Expect("message", "old")
	p.next()
	c.reset("epoch002")
	_, _ = s.Publish("kept.a", Message{Data: []byte("new")})
	_, _ = s.Publish("plain", Message{Data: []byte("new")})
	events.Expect("reset", `{"reason":"epoch","position":"epoch002:00000000000000000000"}`)
	if e := events.Expect("message", "new"); e.ID != "epoch002:00000000000000002048" {
		t.Errorf("its id is %s", e.ID)
	}
	p.expect(`{"push":{"channel":"kept.a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`)
	p.say(`{"id":3,"subscribe":{"channel":"kept.a","recover":true,"epoch":"epoch001","offset":1024}}`)
	p.expect(`{"id":3,"subscribe":{"recoverable":true,"positioned":true,"epoch":"epoch002","was_recovering":true,"offset":2048}}`)
	wstest.ExpectText(t, raw, "new")
	if st := testenv.StatsOf(t, s); st.Untold != 1 {
		t.Errorf("%d could not be told", st.Untold)
	}
}

func TestClusterTakesSmallerMessages(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	s, addr := startGateway(t, clustered(c, &node))
	c.set(func() { node.most = 10 })
	raw, p := wstest.Join(t, addr, "/ws/a"), connectPeer(t, addr)
	awaitMembers(t, s, "a", 1)
	raw.Send(wstest.MaskedText("eleven bytes"))
	raw.ExpectClose(ws.StatusMessageTooBig)
	p.say(`{"id":2,"publish":{"channel":"a","data":"eleven bytes"}}`)
	p.expectClose(websocket.StatusMessageTooBig, "message too big")
	if _, err := s.Publish("a", Message{Data: []byte("eleven bytes")}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// A cluster that takes nothing any more has not got the message, for sure.
func TestClusterThatHasEndedIsNoDoubt(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	s, _ := startGateway(t, clustered(c, &node))
	c.set(func() { node.refuses = errors.New("ended") })
	if _, err := s.Publish("a", Message{Data: []byte("x")}); !errors.Is(err, ErrClosed) || errors.Is(err, ErrUnacknowledged) {
		t.Error(err)
	}
}

// Where clients are to look for another gateway they are closed when an outage has lasted, and
// refused until it is over.
func TestOutageClosesClients(t *testing.T) {
	t.Parallel()
	c := newScripted()
	var node *scriptedNode
	cfg := clustered(c, &node)
	cfg.CloseOnOutage, cfg.outageTime = true, 200*time.Millisecond
	s, addr := startGateway(t, cfg)
	raw, events := wstest.Join(t, addr, "/ws/a"), wstest.Listen(t, addr, "/sse/kept.a")
	awaitMembers(t, s, "a", 1)
	node.rooms.Outage(true)
	raw.ExpectClose(ws.StatusCode(1013))
	events.Expect("close", `{"code":1013,"reason":"the cluster cannot be reached"}`)
	expectClosed(t, s, ClosedOutage, 2)
	for _, path := range []string{"/ws/a", "/sse/a", "/connection/websocket"} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(path))
		c.ExpectRefusal(http.StatusServiceUnavailable)
	}
	node.rooms.Outage(false)
	wstest.Join(t, addr, "/ws/a")
}

// A gateway's cluster is its own for good, and no reload takes it for another.
func TestReloadKeepsTheCluster(t *testing.T) {
	c := newScripted()
	cfg := clustered(c, nil)
	s, _ := startGateway(t, cfg)
	next := clustered(c, nil).Options
	next.CloseOnOutage = true
	if names, err := s.Reload(next); err != nil || len(names) > 0 || !s.config().CloseOnOutage || s.config().Cluster == nil {
		t.Errorf("%v, %v", names, err)
	}
	next.Cluster = nil
	if names, err := s.Reload(next); err != nil || !slices.Equal(names, []string{"Cluster"}) {
		t.Errorf("without one: %v, %v", names, err)
	}
}
