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

// A scripted cluster is one order of all rooms in memory, that any number of servers share.
type scripted struct {
	mu      sync.Mutex
	nodes   []*scriptedNode
	epoch   string
	seq     uint64
	kept    map[string][]hub.Source
	keys    map[string]hub.Position
	isHeld  bool                   // what is published waits
	isDown  bool                   // likewise, and nothing can be opened
	isStuck func(room string) bool // nil, or whose opening does not end by itself
	waiting []func()
}

func newScripted() *scripted {
	return &scripted{epoch: "epoch001", kept: map[string][]hub.Source{}, keys: map[string]hub.Position{}}
}

// A scriptedNode is its part that one server knows.
type scriptedNode struct {
	*scripted
	rooms    Rooms
	follows  map[string]bool
	released []string
	isFull   bool  // Publish takes nothing
	refuses  error // … and why
	most     int   // bytes of a message; zero: any number
}

func (c *scripted) of(node **scriptedNode) func(Rooms) Cluster {
	return func(r Rooms) Cluster {
		n := &scriptedNode{scripted: c, rooms: r, follows: map[string]bool{}}
		c.mu.Lock()
		c.nodes = append(c.nodes, n)
		c.mu.Unlock()
		if node != nil {
			*node = n
		}
		return n
	}
}

func (n *scriptedNode) Publish(room string, m hub.Source, key string, done func(hub.Position, error)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.refuses != nil:
		return n.refuses
	case n.isFull:
		return hub.ErrFull
	case n.most > 0 && len(m.Payload) > n.most:
		return hub.ErrTooLarge
	}
	m.Payload, m.Sender = append([]byte(nil), m.Payload...), strings.Clone(m.Sender)
	publish := func() {
		if done == nil {
			done = func(hub.Position, error) {}
		}
		at, isRepeat := n.keys[room+" "+key]
		if key == "" || !isRepeat {
			n.seq++
			m.Offset = n.seq * 1024 // They jump.
			at = hub.Position{Epoch: n.epoch, Offset: m.Offset}
			n.kept[room] = append(n.kept[room], m)
			for _, one := range n.nodes {
				if one.follows[room] {
					one.rooms.Append(room, n.epoch, []hub.Source{m})
				}
			}
		}
		if key != "" {
			n.keys[room+" "+key] = at
		}
		done(at, nil)
	}
	if n.isHeld || n.isDown {
		n.waiting = append(n.waiting, publish)
		return nil
	}
	publish()
	return nil
}

// set changes the cluster, and has what waits go on if it may.
func (c *scripted) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	if !c.isHeld && !c.isDown {
		for _, publish := range c.waiting {
			publish()
		}
		c.waiting = nil
	}
}

func (n *scriptedNode) Open(ctx context.Context, room string) error {
	if n.isStuck != nil && n.isStuck(room) {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isDown {
		return errors.New("down")
	}
	n.follows[room] = true
	n.rooms.Fill(room, n.epoch, 0, n.kept[room])
	return nil
}

func (n *scriptedNode) Release(room string) {
	go func() { // The directory's lock is held.
		n.mu.Lock()
		defer n.mu.Unlock()
		n.released = append(n.released, room)
		if n.rooms.Close(room) {
			delete(n.follows, room)
		}
	}()
}

func (n *scriptedNode) Purge(_ context.Context, room string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isDown {
		return errors.New("down")
	}
	delete(n.kept, room)
	return nil
}

func (n *scriptedNode) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isDown {
		return errors.New("down")
	}
	return nil
}

// reset loses what the stream had.
func (c *scripted) reset(epoch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch, c.kept = epoch, map[string][]hub.Source{}
	for _, n := range c.nodes {
		for room := range n.follows {
			n.rooms.Reset(room, epoch)
			n.rooms.Fill(room, epoch, 0, nil)
		}
	}
}

// hold has both sides know that a room takes no more, or does again.
func (n *scriptedNode) hold(room string, isOn bool) {
	n.mu.Lock()
	n.isFull = isOn
	n.mu.Unlock()
	n.rooms.Hold(room, isOn)
}

// clustered is a config whose rooms "kept.*" keep messages, and whose order is the cluster's.
func clustered(c *scripted, node **scriptedNode) *config {
	cfg := keeping()
	cfg.Cluster = c.of(node)
	return cfg
}

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

// A reply to publish says that the cluster has the message. Other commands do not wait for it, and replies to publish keep their
// order.
func TestPublishIsAnsweredWithItsAcknowledgement(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	cfg := clustered(c, &node)
	s, addr := startGateway(t, cfg)
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
	awaitMembers(t, s, "a", 1)
	awaitMembers(t, s, "b", 1)
	c.set(func() { c.isHeld = true })
	p.say(`{"id":4,"publish":{"channel":"a","data":4}}`, `{"id":5,"publish":{"channel":"b","data":5}}`, `{"id":6,"publish":{"channel":"c","data":6}}`, `{"id":7,"unsubscribe":{"channel":"a"}}`)
	p.expect(`{"id":7,"unsubscribe":{}}`)
	c.set(func() { // The answers come in another order.
		c.isHeld = false
		c.waiting[0], c.waiting[2] = c.waiting[2], c.waiting[0]
	})
	var replies []string
	for len(replies) < 3 {
		if line := p.next(); strings.Contains(line, `"id"`) {
			replies = append(replies, line)
		} else if !strings.Contains(line, `"channel":"b"`) {
			t.Errorf("unasked there came %s", line)
		}
	}
	for i, line := range replies {
		if !sameJSON(t, line, fmt.Sprintf(`{"id":%d,"publish":{}}`, i+4)) {
			t.Errorf("reply %d is %s", i, line)
		}
	}
	if st := testenv.StatsOf(t, s); st.Messages != 3 || st.Unacknowledged != 0 {
		t.Errorf("%d messages, %d without an answer", st.Messages, st.Unacknowledged)
	}
}

// More messages than a subscriber may have under way wait with its commands, and none is lost.
func TestSubscribersPromisesAreBounded(t *testing.T) {
	c := newScripted()
	s, addr := startGateway(t, clustered(c, nil))
	p := connectPeer(t, addr)
	c.set(func() { c.isHeld = true })
	const all = 2*promisesMax + 10
	var lines []string
	for i := range all {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, i+2))
	}
	p.say(lines...)
	waiting := func() (n int) { c.set(func() { n = len(c.waiting) }); return n }
	testenv.Eventually(t, "as many as may wait do", func() bool { return waiting() == promisesMax && testenv.StatsOf(t, s).Paused > 0 })
	c.set(func() { c.isHeld = false })
	for i := range all {
		if got := p.next(); !sameJSON(t, got, fmt.Sprintf(`{"id":%d,"publish":{}}`, i+2)) {
			t.Fatalf("reply %d is %s", i, got)
		}
	}
}

// Of a room that takes no more nobody is read on who publishes there: what has been read is kept, and goes on in its order.
func TestPublishersOfAHeldRoomWait(t *testing.T) {
	for _, isTold := range []bool{true, false} {
		t.Run(fmt.Sprintf("held %v", isTold), func(t *testing.T) {
			c := newScripted()
			var node *scriptedNode
			s, addr := startGateway(t, clustered(c, &node))
			reader, raw, p := wstest.Dial(t, addr, "/ws/a"), wstest.Dial(t, addr, "/ws/a"), connectPeer(t, addr)
			p.say(`{"id":2,"subscribe":{"channel":"a"}}`)
			p.next()
			awaitMembers(t, s, "a", 3)
			full := func(isOn bool) {
				if isTold {
					node.hold("a", isOn)
					return
				}
				node.set(func() { node.isFull = isOn }) // The hold is late, and comes to nothing.
			}
			full(true)
			for i := range 3 {
				if err := raw.Write(t.Context(), websocket.MessageText, fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			p.say(`{"id":3,"publish":{"channel":"a","data":"x"}}`, `{"id":4,"publish":{"channel":"a","data":"y"}}`)
			stranger := connectPeer(t, addr)
			stranger.say(`{"id":2,"publish":{"channel":"a","data":"z"}}`)
			stranger.expect(`{"id":2,"error":{"code":111,"message":"too many requests","temporary":true}}`)
			if _, err := s.Publish("a", Message{Data: []byte("n")}); !errors.Is(err, ErrRoomFull) {
				t.Error("from outside:", err)
			}
			if isTold {
				testenv.Eventually(t, "both wait", func() bool { return testenv.StatsOf(t, s).Paused >= 2 })
			}
			full(false)
			got := map[string]bool{}
			var numbers, letters string
			for len(got) < 5 {
				_, text, err := reader.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got[string(text)] = true
				if one := strings.Trim(string(text), `"`); one < "a" {
					numbers += one
				} else {
					letters += one
				}
			}
			if numbers != "012" || letters != "xy" {
				t.Errorf("there came %s and %s", numbers, letters)
			}
		})
	}
}

// Who asked for what is kept, and has gone, is not waited for.
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

// While the cluster cannot be reached clients are let in, publishers wait, and /readyz says so; then all goes on.
func TestGatewayStartsWithoutItsCluster(t *testing.T) {
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

// Where clients are to look for another gateway they are closed when an outage has lasted, and refused until it is over.
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

// A room is followed for as long as it is there.
func TestEndedRoomsAreReleased(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	s, addr := startGateway(t, clustered(c, &node))
	raw := wstest.Dial(t, addr, "/ws/a")
	awaitMembers(t, s, "a", 1)
	_ = raw.CloseNow()
	testenv.Eventually(t, "the room is released", func() (isReleased bool) {
		c.set(func() { isReleased = slices.Contains(node.released, "a") && !node.follows["a"] })
		return isReleased
	})
	raw = wstest.Dial(t, addr, "/ws/a")
	if err := raw.Write(t.Context(), websocket.MessageText, []byte("again")); err != nil {
		t.Fatal(err)
	}
	wstest.ExpectText(t, raw, "again")
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

// Rooms that cannot be opened, as many as are opened at a time, do not hold up one that can.
func TestRoomsThatCannotBeOpenedLetOthersGoFirst(t *testing.T) {
	t.Parallel()
	c := newScripted()
	c.isStuck = func(room string) bool { return strings.HasPrefix(room, "stuck") }
	cfg := clustered(c, nil)
	cfg.ClusterTimeout = 20 * time.Millisecond
	s, addr := startGateway(t, cfg)
	for i := range openersMax {
		wstest.Dial(t, addr, fmt.Sprint("/ws/stuck.", i))
	}
	wstest.Dial(t, addr, "/ws/a")
	awaitMembers(t, s, "a", 1)
}
