package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// linked are Nodes of which the others are called, without a bus. Each server has its own.
type linked struct {
	made    atomic.Pointer[[]*Server] // all, when they are
	self    int
	isDeaf  atomic.Bool // the others do not hear, or cannot be heard
	isFull  bool        // no question is put
	unheard atomic.Int64
}

func (l *linked) servers() []*Server { return *l.made.Load() }

func (l *linked) others(use func(s *Server)) {
	for i, s := range l.servers() {
		if i != l.self {
			use(s)
		}
	}
}

func (l *linked) Ask(ctx context.Context, question []byte) (a hub.NodeAnswers, err error) {
	if l.isFull {
		return a, errors.New("full")
	}
	l.others(func(s *Server) {
		a.Asked++
		if l.isDeaf.Load() {
			l.unheard.Add(1)
			return
		}
		if p := s.Node().Answer(ctx, question); p != nil {
			a.From = append(a.From, hub.NodeAnswer{Node: fmt.Sprintf("%08x", s.run), Data: p})
		}
	})
	return a, nil
}

func (l *linked) Tell(what []byte) { l.others(func(s *Server) { s.Node().Told(what) }) }

func (l *linked) Tally(room string) (t hub.Tally) { return l.Tallies()[room] }

func (l *linked) Tallies() map[string]hub.Tally {
	all := map[string]hub.Tally{}
	l.others(func(s *Server) {
		s.Node().Report(func(room string, t hub.Tally) bool {
			sum := all[room]
			sum.Add(t)
			all[room] = sum
			return true
		})
	})
	return all
}

func (l *linked) List() (all []hub.NodeInfo) {
	add := func(s *Server) {
		info := s.Node().Report(func(string, hub.Tally) bool { return true })
		info.ID = fmt.Sprintf("%08x", s.run)
		all = append(all, info)
	}
	add(l.servers()[l.self])
	l.others(add)
	return all
}

func (l *linked) Stats() hub.NodesStats { return hub.NodesStats{Nodes: len(l.servers())} }

// startLinked starts two gateways of one cluster, whose clients bring passes.
func startLinked(t *testing.T, roomRules ...string) (nodes [2]*linked, addrs [2]string) {
	var all []*Server
	for i := range nodes {
		nodes[i] = &linked{self: i}
		s, addr, _ := startWithPasses(t, false, func(cfg *config) { cfg.Nodes, cfg.Rooms = nodes[i], rules(t, roomRules...) })
		all, addrs[i] = append(all, s), addr
	}
	for _, n := range nodes {
		n.made.Store(&all)
	}
	return nodes, addrs
}

// enter makes a subscriber come who is called so, and returns it with its id.
func enter(t *testing.T, addr, name, room string) (p *peer, id string) {
	p = dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:`+name+` may:*=read+publish+presence"}}`, `{"id":2,"subscribe":{"channel":"`+room+`"}}`)
	id = decoded(t, p.next()).(map[string]any)["connect"].(map[string]any)["client"].(string)
	p.expect(`{"id":2,"subscribe":{}}`)
	return p, id
}

// Counts are of all nodes, whoever is asked: a subject who is on both is one user.
func TestCountsAreOfAllNodes(t *testing.T) {
	nodes, addrs := startLinked(t, "kept=presence")
	ann, _ := enter(t, addrs[0], "ann", "kept")
	enter(t, addrs[1], "ann", "kept")
	enter(t, addrs[1], "bob", "kept")
	enter(t, addrs[1], "eve", "other")
	ann.say(`{"id":3,"presence_stats":{"channel":"kept"}}`, `{"id":4,"presence_stats":{"channel":"other"}}`)
	ann.expect(`{"id":3,"presence_stats":{"num_clients":3,"num_users":2}}`, `{"id":4,"presence_stats":{"num_clients":1,"num_users":0}}`)

	here, there := nodes[0].servers()[0], nodes[0].servers()[1]
	for _, s := range nodes[0].servers() {
		if got := s.Clients("kept"); got != 3 {
			t.Errorf("%d clients, want 3", got)
		}
		for room, want := range map[string]int{"kept": 2, "other": 1, "": 3, "nobody": 0} {
			if n, err := s.Users(t.Context(), room); n != want || err != nil {
				t.Errorf("%q: %d users, %v, want %d", room, n, err, want)
			}
		}
	}
	if r, ok := here.Room("other"); !ok || r.Members != 0 || r.Elsewhere != 1 {
		t.Errorf("a room that is elsewhere alone: %+v, %v", r, ok)
	}
	if r, ok := there.Room("kept"); !ok || r.Members != 2 || r.Elsewhere != 1 {
		t.Errorf("a room on both: %+v, %v", r, ok)
	}
	if _, ok := here.Room("nobody"); ok {
		t.Error("there is a room in which nobody is anywhere")
	}
	if all, isWhole := here.Channels("", 2); !isWhole || len(all) != 2 || all["kept"] != 3 || all["other"] != 1 {
		t.Errorf("%v, %v", all, isWhole)
	}
	if all, isWhole := here.Channels("o*", 1); !isWhole || len(all) != 1 || all["other"] != 1 {
		t.Errorf("%v, %v", all, isWhole)
	}
	if all, isWhole := here.Channels("", 1); isWhole || all != nil {
		t.Errorf("more than fit: %v, %v", all, isWhole)
	}
	by, err := here.UsersByNode(t.Context())
	if list := here.Nodes(); err != nil || len(by) != 2 || by[list[0].ID] != 1 || by[list[1].ID] != 3 || list[1].Members != 3 || list[1].Connections != 3 {
		t.Errorf("%v, %+v, %v", by, list, err)
	}
}

// Who is in a room is asked of all nodes; if one does not answer that is said, and no part of it.
func TestPresenceIsOfAllNodes(t *testing.T) {
	nodes, addrs := startLinked(t, "kept=presence")
	ann, annID := enter(t, addrs[0], "ann", "kept")
	_, bobID := enter(t, addrs[1], "bob", "kept")
	ann.say(`{"id":3,"presence":{"channel":"kept"}}`, `{"id":4,"presence":{"channel":"other"}}`)
	ann.expect(
		fmt.Sprintf(`{"id":3,"presence":{"presence":{%q:{"user":"ann","client":%[1]q},%q:{"user":"bob","client":%[2]q}}}}`, annID, bobID),
		`{"id":4,"error":{"code":108,"message":"not available"}}`)
	all, err := nodes[1].servers()[1].Attendees(t.Context(), "kept")
	if err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}

	nodes[0].isDeaf.Store(true)
	ann.say(`{"id":5,"presence":{"channel":"kept"}}`)
	ann.expect(`{"id":5,"error":{"code":100,"message":"internal server error","temporary":true}}`)
	if all, err := nodes[0].servers()[0].Attendees(t.Context(), "kept"); !errors.Is(err, ErrUnanswered) || all != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := nodes[0].servers()[0].Users(t.Context(), "other"); !errors.Is(err, ErrUnanswered) {
		t.Errorf("users: %v", err)
	}
	nodes[0].isDeaf.Store(false)

	there := &nodes[0].servers()[1].presences
	var others []*attendee
	for range presenceMax { // With those who are there it is one node's too many, and before that everybody's.
		others = append(others, there.enter("kept", &attendee{}))
		if len(others) == presenceMax-1 {
			ann.say(`{"id":6,"presence":{"channel":"kept"}}`)
			ann.expect(`{"id":6,"error":{"code":106,"message":"limit exceeded"}}`)
		}
	}
	if _, err := nodes[0].servers()[0].Attendees(t.Context(), "kept"); !errors.Is(err, ErrTooManyToTell) {
		t.Errorf("of too many there: %v", err)
	}
	for _, in := range others {
		there.leave(in)
	}
}

// What is done to clients is done on all nodes, and how many have done it is said.
func TestClientsEndOnAllNodes(t *testing.T) {
	nodes, addrs := startLinked(t)
	here := nodes[0].servers()[0]
	f := Farewell{Code: 4100, Reason: "enough"}
	whole := func(clients int) Reach { return Reach{Clients: clients, Nodes: 2, Answered: 2} }
	check := func(what string, got Reach, err error, want Reach, wantErr error) {
		t.Helper()
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %+v, %v; want %+v, %v", what, got, err, want, wantErr)
		}
	}
	ended := func(p *peer) { t.Helper(); p.expectClose(4100, "enough") }

	ann, _ := enter(t, addrs[0], "ann", "a")
	ann2, annID := enter(t, addrs[1], "ann", "a")
	bob, bobID := enter(t, addrs[1], "bob", "a")
	r, err := here.Disconnect(t.Context(), annID, "bob", f)
	check("another's client", r, err, whole(0), ErrNoConnection)
	r, err = here.Disconnect(t.Context(), annID, "ann", f)
	check("a client elsewhere", r, err, whole(1), nil)
	ended(ann2)
	r, err = here.Disconnect(t.Context(), annID, "", f)
	check("one that is gone", r, err, whole(0), ErrNoConnection)
	short, _, _ := strings.Cut(bobID, "-")
	if _, err = here.Disconnect(t.Context(), short+"0", "", f); !errors.Is(err, ErrNoConnection) {
		t.Errorf("an id without a run is of this node: %v", err)
	}

	r, err = here.DisconnectSubject(t.Context(), "", "", f)
	check("nobody's", r, err, Reach{Nodes: 1, Answered: 1}, nil)
	r, err = here.DisconnectSubject(t.Context(), "", "a", f)
	check("nobody's in a room", r, err, Reach{Nodes: 1, Answered: 1}, nil)
	r, err = here.UnsubscribeSubject(t.Context(), "bob", "a", f)
	check("a subject's subscription", r, err, whole(1), nil)
	bob.expect(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	bob.say(`{"id":3,"subscribe":{"channel":"b"}}`)
	bob.expect(`{"id":3,"subscribe":{}}`)
	r, err = here.Unsubscribe(t.Context(), bobID, "bob", "b", f)
	check("a client's subscription", r, err, whole(1), nil)
	bob.expect(`{"push":{"channel":"b","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	r, err = here.Unsubscribe(t.Context(), bobID, "", "b", f)
	check("one that is not there", r, err, whole(1), nil)

	raw := wstest.Connect(t, addrs[1])
	raw.Send(wstest.UpgradeHead("/ws/a?token=may:*=read"))
	raw.ExpectUpgrade()
	testenv.Eventually(t, "a client without a protocol is there", func() bool { return here.Clients("a") == 2 })
	r, err = here.DisconnectRoom(t.Context(), "a", f)
	check("a room", r, err, whole(2), nil)
	ann.expect(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	raw.ExpectClose(4100)
	r, err = here.DisconnectSubject(t.Context(), "bob", "", f)
	check("a subject", r, err, whole(1), nil)
	ended(bob)

	nodes[0].isDeaf.Store(true)
	part := Reach{Nodes: 2, Answered: 1}
	r, err = here.DisconnectRoom(t.Context(), "a", f)
	check("unanswered", r, err, part, nil)
	r, err = here.Disconnect(t.Context(), bobID, "", f)
	check("a client, unanswered", r, err, part, ErrUnanswered)
	nodes[0].isFull = true
	if _, err = here.DisconnectRoom(t.Context(), "a", f); !errors.Is(err, ErrBusy) {
		t.Errorf("full: %v", err)
	}
	if _, err = here.DisconnectRoom(t.Context(), "a", Farewell{Code: 1}); !errors.Is(err, ErrFarewell) {
		t.Errorf("a code that is none: %v", err)
	}
}

// What another node, or a stranger, says is judged.
func TestStrangeQuestionsHaveNoAnswer(t *testing.T) {
	nodes, addrs := startLinked(t, "kept=presence")
	p, _ := enter(t, addrs[0], "ann", "kept")
	local := nodes[0].servers()[0].Node()
	for _, question := range []string{
		``, `null`, `[]`, `{"do":"format"}`, `{"do":"who","room":"a/b"}`, `{"do":"who","room":"other"}`, `{"do":"end","room":"kept","Code":1}`,
	} {
		if got := local.Answer(t.Context(), []byte(question)); got != nil {
			t.Errorf("%s: %s", question, got)
		}
	}
	if got := local.Answer(t.Context(), []byte(`{"do":"end"}`)); string(got) != `{}` {
		t.Errorf("everybody's end: %s", got)
	}
	for _, what := range []string{``, `null`, `{"room":"nobody","changes":[{"info":"AA=="}]}`, `{"room":"kept","changes":[{"info":"AA=="}]}`} {
		local.Told([]byte(what))
	}
	p.say(`{"id":3,"presence_stats":{"channel":"kept"}}`)
	p.expect(`{"id":3,"presence_stats":{"num_clients":1,"num_users":1}}`)
}

// What is told of a room where nobody hears of it costs the same however many are there: their
// loops wait meanwhile for who comes and goes.
func TestJoinsOfALargeRoomAreDroppedAtOnce(t *testing.T) {
	nodes, _ := startLinked(t, "told=joins")
	s, rounds := nodes[0].servers()[0], 100
	for range 100 * joinsMax {
		s.presences.enter("told", &attendee{})
	}
	what := []byte(`{"room":"told","changes":[{"info":"AA=="}]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		s.Node().Told(what)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(rounds); each > 100*joinsMax {
		t.Errorf("%d bytes each time", each)
	}
	if n := testenv.StatsOf(t, s).JoinsDropped; n != uint64(rounds) {
		t.Errorf("%d were dropped", n)
	}
}

// Who comes and goes on one node is told on the others, the last one there too.
func TestJoinsAreToldOnAllNodes(t *testing.T) {
	t.Parallel()
	nodes, addrs := startLinked(t, "told=joins")
	ann, _ := enter(t, addrs[0], "ann", "told")
	ann.hear(`{"push":{"channel":"told","join":{"info":{"user":"ann","client":"C"}}}}`)
	bob, bobID := enter(t, addrs[1], "bob", "told")
	const came = `{"push":{"channel":"told","join":{"info":{"user":"bob","client":"C"}}}}`
	ann.hear(came)
	bob.hear(came)
	if _, err := nodes[0].servers()[0].Disconnect(t.Context(), bobID, "", Farewell{}); err != nil {
		t.Fatal(err)
	}
	ann.hear(`{"push":{"channel":"told","leave":{"info":{"user":"bob","client":"C"}}}}`)

	there := nodes[0].servers()[1]
	for range joinsMax { // More than are told of anything here.
		nodes[0].servers()[0].presences.enter("told", &attendee{})
	}
	enter(t, addrs[1], "eve", "told")
	testenv.Eventually(t, "nobody is told of eve", func() bool {
		st, err := nodes[0].servers()[0].Stats(t.Context())
		return err == nil && st.JoinsDropped > 0 && there.Clients("told") == 2
	})
	a := nodes[0].servers()[0].presences.of("told")
	a.mu.Lock()
	all := slices.Clone(a.all)
	a.mu.Unlock()
	for _, in := range all {
		if in.w == nil {
			nodes[0].servers()[0].presences.leave(in)
		}
	}
	if !slices.ContainsFunc(all, func(in *attendee) bool { return in.user == "ann" }) {
		t.Error("ann is gone")
	}
}

// What a room keeps is forgotten on all nodes.
func TestKeptMessagesAreForgottenOnAllNodes(t *testing.T) {
	var all []*Server
	var nodes [2]*linked
	for i := range nodes {
		nodes[i] = &linked{self: i}
		cfg := keeping()
		cfg.Nodes = nodes[i]
		s, _ := startGateway(t, cfg)
		all = append(all, s)
	}
	for i, n := range nodes {
		n.made.Store(&all)
		if _, err := all[i].PublishAt("kept.a", Message{Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(i int) int {
		page, err := all[i].Kept(t.Context(), "kept.a", hub.Start{Earliest: true}, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Messages)
	}
	nodes[0].isDeaf.Store(true)
	if err := all[0].RemoveKept("kept.a"); !errors.Is(err, ErrUnanswered) || kept(0) != 0 || kept(1) != 1 {
		t.Errorf("unanswered: %v; %d and %d are kept", err, kept(0), kept(1))
	}
	nodes[0].isDeaf.Store(false)
	if err := all[0].RemoveKept("kept.a"); err != nil || kept(1) != 0 {
		t.Errorf("%v; %d are kept", err, kept(1))
	}
	if err := all[0].RemoveKept("plain"); !errors.Is(err, ErrNoHistory) {
		t.Errorf("of a room without a history: %v", err)
	}
}

// Bringing clients into rooms, and when what is known of them expires, is done wherever they are.
func TestClientsArePlacedAndRefreshedOnAllNodes(t *testing.T) {
	nodes, addrs := startLinked(t)
	here, there := nodes[0].servers()[0], nodes[0].servers()[1]
	ann, annID := enter(t, addrs[1], "ann", "a")
	whole := func(clients int) Reach { return Reach{Clients: clients, Nodes: 2, Answered: 2} }
	check := func(what string, got Reach, err error, want Reach, wantErr error) {
		t.Helper()
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %+v, %v; want %+v, %v", what, got, err, want, wantErr)
		}
	}
	r, err := here.Subscribe(t.Context(), annID, "bob", "b", Placement{})
	check("another's client", r, err, whole(0), ErrNoConnection)
	r, err = here.Subscribe(t.Context(), annID, "ann", "b", Placement{})
	check("a client", r, err, whole(1), nil)
	ann.expect(`{"push":{"channel":"b","subscribe":{}}}`)
	r, err = here.SubscribeSubject(t.Context(), "ann", "c", Placement{Info: []byte(`{"seat":7}`)})
	check("a subject", r, err, whole(1), nil)
	ann.expect(`{"push":{"channel":"c","subscribe":{}}}`)
	if here.Clients("b") != 1 || there.Clients("c") != 1 {
		t.Error("it is not counted there")
	}
	r, err = here.Refresh(t.Context(), annID, "", 0)
	check("its expiry", r, err, whole(1), nil)
	ann.expect(`{"push":{"refresh":{}}}`)
	r, err = here.RefreshSubject(t.Context(), "ann", 0)
	check("its subject's expiry", r, err, whole(1), nil)
	ann.expect(`{"push":{"refresh":{}}}`)
	if _, err := here.SubscribeSubject(t.Context(), "", "c", Placement{}); err != nil {
		t.Errorf("nobody: %v", err)
	}

	o := there.config().Options
	o.MaxSubscriptions = 3
	if _, err := there.Reload(o); err != nil {
		t.Fatal(err)
	}
	if _, err := here.SubscribeSubject(t.Context(), "ann", "d", Placement{}); !errors.Is(err, ErrTooManySubscriptions) {
		t.Errorf("one room too many: %v", err)
	}
	nodes[0].isDeaf.Store(true)
	r, err = here.Subscribe(t.Context(), annID, "", "d", Placement{})
	check("unanswered", r, err, Reach{Nodes: 2, Answered: 1}, ErrUnanswered)
}

// What one node answers another is no more than SECURITY.md says: who is in a room, or whose
// clients are.
func TestAnswersOfNodesAreBounded(t *testing.T) {
	users := make([]uint64, userKeysMax)
	for i := range users {
		users[i] = math.MaxUint64
	}
	infos := make([][]byte, presenceMax)
	for i := range infos {
		infos[i] = make([]byte, presenceBytes/presenceMax)
	}
	for _, a := range []nodeAnswer{{Users: len(users), Keys: users}, {Infos: infos}} {
		p, err := json.Marshal(a)
		if err != nil || len(p) > 512<<10 || len(p) < 256<<10 {
			t.Errorf("an answer of %d users and %d infos has %d bytes, not up to half a MiB: %v", a.Users, len(a.Infos), len(p), err)
		}
	}
}
