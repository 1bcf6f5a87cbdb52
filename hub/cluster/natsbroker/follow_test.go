package natsbroker

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
	"sluice/internal/testenv"
)

func TestWaitingMessagesHaveABound(t *testing.T) {
	var w waiting
	for i := range waitingMax {
		if !w.add(cluster.Live{Stored: cluster.Stored{Seq: uint64(i)}}) {
			t.Fatalf("refused at %d", i)
		}
	}
	if w.add(cluster.Live{}) {
		t.Error("one more than the bound is taken")
	}
	to := make(chan cluster.Live, 1)
	for i := range waitingMax {
		first, ch := w.first(to)
		if ch == nil || first.Seq != uint64(i) {
			t.Fatalf("the %dth is %d", i, first.Seq)
		}
		w.drop()
		if i%3 == 0 && !w.add(cluster.Live{Stored: cluster.Stored{Seq: uint64(waitingMax + i/3)}}) {
			t.Fatalf("refused behind %d taken", i)
		}
	}
	if len(w.all) > waitingMax || w.size != 0 {
		t.Errorf("%d in memory, %d bytes", len(w.all), w.size)
	}
}

// What is dropped is told when that begins, and when it ends: a room's last message may be the last
// one dropped.
func TestEndOfDroppingIsTold(t *testing.T) {
	n := new(Broker)
	n.happened.init()
	w := waiting{size: waitingSize}
	m := &nats.Msg{Subject: subject(subjectOut, "room", shards), Data: []byte("x"), Header: nats.Header{
		jetstream.StreamHeader: {streamName}, jetstream.SequenceHeader: {"2"}, jetstream.LastSequenceHeader: {"1"},
		jetstream.TimeStampHeaer: {"2026-01-01T00:00:00Z"},
	}}
	for i, want := range []cluster.Event{cluster.Slow, 0, cluster.Slow, 0} {
		if i == 2 {
			w.size = 0
		}
		if n.arrive(&w, m); n.happened.take() != want {
			t.Errorf("message %d: not %d", i, want)
		}
	}
	if n.counts.dropped.Load() != 2 || len(w.all) != 2 || n.counts.malformed.Load() != 0 {
		t.Errorf("%d dropped, %d kept", n.counts.dropped.Load(), len(w.all))
	}
}

// Whatever has come of a stream that is no more is dropped at once, however much waits for the
// node.
func TestForgottenMessagesDoNotCome(t *testing.T) {
	n := &Broker{quit: make(chan struct{})}
	n.happened.init()
	n.incoming.init()
	n.done.Go(n.pump)
	defer n.done.Wait()
	defer close(n.quit)
	come := func(seq string) {
		n.incoming.arrived <- &nats.Msg{Subject: subject(subjectOut, "room", shards), Data: []byte("x"), Header: nats.Header{
			jetstream.StreamHeader: {streamName}, jetstream.SequenceHeader: {seq}, jetstream.LastSequenceHeader: {"1"},
			jetstream.TimeStampHeaer: {"2026-01-01T00:00:00Z"},
		}}
	}
	for range 4 * (handedMax + arrivedMax) {
		come("2")
	}
	n.Forget()
	come("3")
	if l := <-n.Live(); l.Seq != 3 {
		t.Errorf("%d comes, which was forgotten", l.Seq)
	}
}

func TestWaitingBytesHaveABound(t *testing.T) {
	var w waiting
	pack := make([]byte, waitingSize/4)
	for range 4 {
		if !w.add(cluster.Live{Stored: cluster.Stored{Pack: pack}}) {
			t.Fatal("refused below the bound")
		}
	}
	if w.add(cluster.Live{Stored: cluster.Stored{Pack: pack[:1]}}) {
		t.Error("a byte more than the bound is taken")
	}
	w.drop()
	if !w.add(cluster.Live{Stored: cluster.Stored{Pack: pack}}) {
		t.Error("refused with as much taken")
	}
	for range 4 {
		w.drop()
	}
	if _, ch := w.first(make(chan cluster.Live)); ch != nil || w.size != 0 {
		t.Errorf("%d bytes of nothing", w.size)
	}
}

// The node's goroutine ends subscriptions, and must not wait for a socket: whoever sends tells the
// broker.
func TestUnsubscribingWaitsForNobody(t *testing.T) {
	n := new(Broker)
	n.outgoing.init()
	n.rooms.init()
	n.rooms.all["room"] = new(nats.Subscription) // Nobody sends.
	n.Unsubscribe("room")
	n.Unsubscribe("another")
	if len(n.rooms.all) != 0 || len(n.rooms.ended) != 1 || len(n.outgoing.wake) != 1 {
		t.Errorf("%d rooms are subscribed to, of %d the broker is to be told", len(n.rooms.all), len(n.rooms.ended))
	}
}

// Nor does it wait for who subscribes meanwhile, and waits for a socket itself: the server here
// reads nothing any more.
func TestUnsubscribingDoesNotWaitForWhoSubscribes(t *testing.T) {
	b, server := dialFake(t)
	if err := b.subscribe("followed"); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	isStuck := make(chan struct{}) // closed when the socket is given up
	go func() {
		defer close(isStuck)
		for b.nc.Publish("anything", make([]byte, 1<<19)) == nil {
			sent.Add(1)
		}
	}()
	was, same := int64(-1), 0
	testenv.Eventually(t, "the socket takes nothing more", func() bool {
		if n := sent.Load(); n == was {
			same++
		} else {
			was, same = n, 0
		}
		return same == 10
	})
	subscribed := make(chan error, 1)
	go func() { subscribed <- b.subscribe("other") }()
	for range 20 {
		time.Sleep(time.Millisecond)
		b.Unsubscribe("followed")
	}
	select {
	case <-isStuck:
		t.Error("it has waited for the socket")
	default:
	}
	server.Close()
	<-isStuck
	<-subscribed
}

// dialFake is a broker that is connected to a server which greets it, and does no more.
func dialFake(t *testing.T) (b *Broker, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	greeted := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, `INFO {"server_id":"fake","max_payload":1048576,"headers":true}`+"\r\n")
			for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "PING"; {
			}
			_, _ = io.WriteString(c, "PONG\r\n")
			greeted <- c
		}
	}()
	if b, err = Dial(Options{URLs: []string{"nats://" + l.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "they are connected", b.nc.IsConnected)
	l.Close()
	server = <-greeted
	t.Cleanup(func() { server.Close(); b.Close() })
	return b, server
}
