package clustertest

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub"
	"sluice/hub/cluster"
	"sluice/internal/natstest"
	"sluice/internal/testenv"
)

func startServer(t testing.TB) *server.Server { return natstest.Start(t) }

// keep has rooms keep so many messages.
func keep(messages int) func(*cluster.Options) {
	return func(o *cluster.Options) {
		o.HistoryOf = func(string) hub.History { return hub.History{Messages: messages, Bytes: 1 << 30} }
	}
}

// at makes a server use a directory and a port, so that it can be run again.
func at(store string, port int) func(*server.Options) {
	return func(o *server.Options) { o.StoreDir, o.Port = store, port }
}

// B02: the broker restarts, with all that it has.
func TestB02_BrokerRestarts(t *testing.T) {
	t.Parallel()
	where := at(t.TempDir(), natstest.Ports(t, 1)[0])
	s := natstest.Start(t, where)
	all := startAll(t, 2, withStream(s.ClientURL()), someRooms)
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 200)
	natstest.End(s)
	natstest.Start(t, where)
	l.run(t, 500)
	l.stop()
	l.check(t, all, someRooms)
	mustNotReset(t, all)
}

// No broker is there when nodes start. They take messages, up to their bounds, and say that they
// are not ready.
func TestB02_BrokerIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	where, port := t.TempDir(), natstest.Ports(t, 1)[0]
	o := withStream(fmt.Sprint("nats://127.0.0.1:", port))
	all := []*machine{start(t, "node0", o, patient), start(t, "node1", o, patient)}
	l := publishOn(all, someRooms, time.Millisecond)
	for _, m := range all {
		if m.node.Ready() == nil {
			t.Error("ready without a broker")
		}
	}
	natstest.Start(t, at(where, port))
	for _, m := range all {
		m.awaitReady()
		m.open(someRooms...)
	}
	l.stop()
	for text, err := range l.failed {
		t.Errorf("%s: %v", text, err)
	}
	after := publishOn(all, someRooms, 0)
	after.run(t, 200)
	after.stop()
	for text := range l.sent {
		after.sent[text] = true
	}
	after.check(t, all, someRooms)
}

// The stream is deleted under load: rooms are told, and all go on in the new one.
func TestB13_StreamIsDeleted(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	all := startAll(t, 2, withStream(s.ClientURL()), someRooms)
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 200)
	js, err := jetstream.New(all[0].broker.Conn())
	if err == nil {
		err = js.DeleteStream(soon(t), "SLUICE_0")
	}
	if err != nil {
		t.Fatal(err)
	}
	awaitResets(t, all, someRooms)
	l.run(t, 500)
	l.stop()
	l.check(t, all, someRooms)
}

// An older copy of the broker's store comes back. What it lacks was acknowledged: everybody is
// told.
func TestB13_OlderStoreIsCopiedBack(t *testing.T) {
	t.Parallel()
	dir, old, port := t.TempDir(), t.TempDir(), natstest.Ports(t, 1)[0]
	s := natstest.Start(t, at(dir, port))
	o := withStream(s.ClientURL())
	all := startAll(t, 2, o, someRooms)
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 200)
	natstest.End(s)
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = natstest.Start(t, at(dir, port))
	l.run(t, 500)
	natstest.End(s)
	natstest.Start(t, at(old, port))
	awaitResets(t, all, someRooms)
	l.run(t, 500)
	l.stop()
	l.check(t, all, someRooms)
	mustReset(t, all)
}

// The same while a node is away from before the copy until after it: to that the older store is the
// stream that it knows. It hears from the other node that it is not.
func TestB13_OlderStoreIsCopiedBackWhileANodeIsAway(t *testing.T) {
	t.Parallel()
	testenv.LeaveToCI(t, "one node waits for another, some eight seconds")
	dir, old := t.TempDir(), t.TempDir()
	s := natstest.Start(t, at(dir, server.RANDOM_PORT))
	port := s.Addr().(*net.TCPAddr).Port
	network := natstest.StartProxy(t, s.Addr().String())
	all := []*machine{
		start(t, "node0", withStream(s.ClientURL())),
		start(t, "away", withStream(fmt.Sprint("nats://127.0.0.1:", network.Port()))),
	}
	for _, m := range all {
		m.open(someRooms...)
	}
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 200)
	natstest.End(s)
	testenv.Eventually(t, "the node is away", func() bool { return !all[1].broker.Conn().IsConnected() })
	network.Cut(true)
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = natstest.Start(t, at(dir, port))
	before := all[1].node.Stats().Packs
	l.run(t, 500) // The other's.
	if after := all[1].node.Stats().Packs; after != before {
		t.Fatal("the node is there: the test shows nothing")
	}
	natstest.End(s)
	testenv.Eventually(t, "no node is there", func() bool { return !all[0].broker.Conn().IsConnected() })
	natstest.Start(t, at(old, port))
	testenv.Eventually(t, "the one that knows is back", func() bool { return all[0].broker.Conn().IsConnected() })
	network.Cut(false)
	awaitResets(t, all, someRooms)
	l.run(t, 500)
	l.stop()
	l.check(t, all, someRooms)
	mustReset(t, all)
}

// B06: a node that takes its time. What the connection drops meanwhile is fetched.
func TestB06_DeafNodeMissesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	all := startAll(t, 2, withStream(s.ClientURL()), someRooms, patient)
	deaf := all[1]
	deaf.rooms.setPause(time.Second)
	l := publishOn(nil, nil, 0)
	free := make(chan struct{}, window)
	large := strings.Repeat("x", 62<<10)
	const messages = 900 // 56 MB, of which little more than half waits for a node, in as many packs as the stream keeps.
	for i := range messages {
		text := fmt.Sprintf("news node0 %d %s", i, large)
		l.sent[text] = true
		free <- struct{}{}
		for !l.offer(all[0], "news", text, free) {
			time.Sleep(time.Millisecond)
		}
	}
	testenv.Eventually(t, "all is acknowledged", func() bool { return l.count() == messages })
	deaf.rooms.setPause(0)
	for _, m := range all {
		testenv.Eventually(t, "nothing is missing", func() bool { return m.rooms.count() >= messages })
	}
	if told := texts(deaf.rooms.told("news")); !slices.Equal(told, texts(all[0].rooms.told("news"))) {
		t.Errorf("%d messages, and not those of the other node", len(told))
	}
	mustNotReset(t, all)
	if n := deaf.node.Stats().Repaired; n == 0 {
		t.Error("nothing was dropped: the test shows nothing")
	}
}

// B09: what somebody else puts into the stream, or says in its place.
func TestB09_GarbageAndForgedMessages(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	all := startAll(t, 2, withStream(s.ClientURL()), someRooms)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 100)
	for _, body := range []string{"", "\x00", "\xff\xff\xff", "no pack at all", "\x01\xff\xff\xff\xff\xff"} {
		if err := nc.Publish("sluice.in.0.news", []byte(body)); err != nil { // Into the stream, as a gateway does.
			t.Fatal(err)
		}
	}
	for _, m := range all { // Before what is forged: where continuity is lost, a room goes on at its end.
		testenv.Eventually(t, m.name+" has counted garbage", func() bool {
			stats := m.node.Stats()
			return stats.Garbage+stats.UnknownFormat > 0
		})
	}
	for _, subject := range []string{"sluice.in.0.a.b", "sluice.in.0.", "sluice.out.0.news", "sluice.out.0.news.more", "sluice.node.stream"} {
		_ = nc.Publish(subject, []byte("?"))
	}
	for i, seq := range []string{"", "-1", "x", "1", "999999999999"} { // In the stream's place.
		m := nats.NewMsg("sluice.out.0.chat,1")
		m.Header.Set("Nats-Stream", "SLUICE_0")
		m.Header.Set("Nats-Sequence", seq)
		m.Header.Set("Nats-Last-Sequence", []string{"0", "5", "999999999998"}[i%3])
		m.Header.Set("Nats-Time-Stamp", "2026-01-01T00:00:00Z")
		m.Data = []byte("forged")
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushWithContext(soon(t)); err != nil {
		t.Fatal(err)
	}
	l.run(t, 500)
	l.stop()
	l.check(t, all, someRooms)
}
