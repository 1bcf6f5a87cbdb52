package clustertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/hub/cluster"
	"sluice/hub/cluster/natsbroker"
	"sluice/internal/natstest"
	"sluice/internal/testenv"
)

// withStream are options with everything at its default but the servers, and room
// for what a fault under full load lasts.
func withStream(urls ...string) natsbroker.Options {
	return natsbroker.Options{
		URLs: urls, Name: "a gateway", Age: 10 * time.Minute, Messages: 100_000, Bytes: 1 << 30, MaxMessage: 64 << 10,
	}
}

// dial connects and prepares the stream.
func dial(t testing.TB, o natsbroker.Options) *natsbroker.Broker {
	t.Helper()
	n := dialOnly(t, o)
	await(t, n, cluster.Up)
	if err := prepare(t, n); err != nil {
		t.Fatal(err)
	}
	return n
}

// prepare is Prepare, once more where servers of a busy machine took longer than it waits for them.
func prepare(t testing.TB, n *natsbroker.Broker) (err error) {
	t.Helper()
	testenv.Eventually(t, "the servers answer", func() bool {
		err = n.Prepare(soon(t))
		return !errors.Is(err, context.DeadlineExceeded)
	})
	return err
}

func dialOnly(t testing.TB, o natsbroker.Options) *natsbroker.Broker {
	t.Helper()
	n, err := natsbroker.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// await waits until all of these events have come.
func await(t testing.TB, n *natsbroker.Broker, want cluster.Event) {
	t.Helper()
	var seen cluster.Event
	for end := time.After(testenv.Patience); seen&want != want; {
		select {
		case <-n.Changed():
			seen |= n.Events()
		case <-end:
			t.Fatalf("events %b, not %b", seen, want)
		}
	}
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
	t.Cleanup(cancel)
	return ctx
}

type stored struct {
	seq uint64
	err error
}

// publish waits for the answer.
func publish(t testing.TB, n *natsbroker.Broker, room, id, pack string) (uint64, error) {
	t.Helper()
	answer := make(chan stored, 2)
	n.Publish(room, id, []byte(pack), func(seq uint64, err error) { answer <- stored{seq, err} })
	select {
	case a := <-answer:
		return a.seq, a.err
	case <-time.After(testenv.Patience):
		t.Fatal("a publication is not answered")
		return 0, nil
	}
}

// mustPublish publishes again, as a node does, what a busy machine has not acknowledged in time: of
// an id one message is stored.
func mustPublish(t testing.TB, n *natsbroker.Broker, room, id, pack string) (seq uint64) {
	t.Helper()
	var err error
	for range 10 {
		if seq, err = publish(t, n, room, id, pack); err == nil {
			return seq
		}
	}
	t.Fatal(err)
	return 0
}

func next(t testing.TB, n *natsbroker.Broker) cluster.Live {
	t.Helper()
	select {
	case l := <-n.Live():
		return l
	case <-time.After(testenv.Patience):
		t.Fatal("nothing is republished")
		return cluster.Live{}
	}
}

func TestBrokerRepublishesInTheStreamsOrder(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	a, b := dial(t, withStream(s.ClientURL())), dial(t, withStream(s.ClientURL()))
	for _, n := range []*natsbroker.Broker{a, b} {
		for _, room := range []string{"chat.1", "chat.2"} {
			if err := n.Subscribe(soon(t), room); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []cluster.Live{}
	last := map[string]uint64{}
	for i := range 20 {
		n, room, id, pack := []*natsbroker.Broker{a, b}[i%2], fmt.Sprint("chat.", 1+i%3/2), fmt.Sprint("id.", i), fmt.Sprint("pack ", i)
		seq := mustPublish(t, n, room, id, pack)
		want = append(want, cluster.Live{Stored: cluster.Stored{Room: room, Seq: seq, ID: id, Pack: []byte(pack)}, Prev: last[room]})
		last[room] = seq
	}
	for _, n := range []*natsbroker.Broker{a, b} {
		for _, w := range want {
			is := next(t, n)
			if is.Time == 0 {
				t.Fatal("a message has no time")
			}
			if is.Time = 0; fmt.Sprint(is) != fmt.Sprint(w) {
				t.Fatalf("%v, not %v", is, w)
			}
		}
	}
}

func TestBrokerStoresAnIDOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	first := mustPublish(t, n, "room", "id.1", "x")
	if again := mustPublish(t, n, "room", "id.1", "x"); again != first {
		t.Errorf("the same id is stored at %d and %d", first, again)
	}
	if other := mustPublish(t, n, "room", "id.2", "x"); other != first+1 {
		t.Errorf("the next one is stored at %d", other)
	}
}

func TestBrokerFetchesWhatTheStreamKeeps(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	// Of the largest messages, of 1 MiB with their heads, 1,023 go into its 1 GiB.
	if st, err := n.State(soon(t)); err != nil || st != (cluster.State{First: 1, Free: 1023}) {
		t.Errorf("a new stream is %+v, %v", st, err)
	}
	var seqs []uint64
	for i := range 30 {
		mustPublish(t, n, "other", fmt.Sprint("o.", i), "?")
		seqs = append(seqs, mustPublish(t, n, "a.room", fmt.Sprint("id.", i), fmt.Sprint("pack ", i)))
	}
	var all []cluster.Stored
	for from, more := uint64(0), true; more; {
		var kept []cluster.Stored
		var err error
		if kept, more, err = n.After(soon(t), "a.room", from, 7, 1<<20); err != nil {
			t.Fatal(err)
		}
		if len(kept) > 7 {
			t.Fatalf("%d at a time", len(kept))
		}
		all = append(all, kept...)
		from = all[len(all)-1].Seq + 1
	}
	if len(all) != len(seqs) {
		t.Fatalf("%d messages, not %d", len(all), len(seqs))
	}
	for i, m := range all {
		if m.Room != "a.room" || m.Seq != seqs[i] || m.ID != fmt.Sprint("id.", i) || string(m.Pack) != fmt.Sprint("pack ", i) || m.Time == 0 {
			t.Errorf("message %d is %+v", i, m)
		}
	}
	if kept, more, err := n.After(soon(t), "a.room", seqs[10], 100, len("pack 10")+1); err != nil || !more || len(kept) == 0 || kept[0].Seq != seqs[10] || len(kept) > 2 {
		t.Errorf("with little room for bytes: %d, %v, %v", len(kept), more, err)
	}
	if kept, more, err := n.After(soon(t), "empty", 1, 10, 1<<20); err != nil || more || len(kept) != 0 {
		t.Errorf("of an empty room: %v, %v, %v", kept, more, err)
	}
	if kept, more, err := n.After(soon(t), "a.room", seqs[29]+1, 10, 1<<20); err != nil || more || len(kept) != 0 {
		t.Errorf("behind the last: %v, %v, %v", kept, more, err)
	}
	is, err := n.At(soon(t), seqs[3])
	if err != nil || is.Room != "a.room" || is.ID != "id.3" || is.Time != all[3].Time {
		t.Errorf("the fourth is %+v, %v", is, err)
	}
	if _, err := n.At(soon(t), 1000); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("of a sequence that nothing has: %v", err)
	}
	if st, err := n.State(soon(t)); err != nil || st != (cluster.State{First: 1, Last: 60, Free: 1022}) {
		t.Errorf("the stream is %+v, %v", st, err)
	}
	if err := n.Purge(soon(t), "a.room", 61); err != nil {
		t.Error(err)
	}
	if err := n.Purge(soon(t), "other", 61); err != nil {
		t.Error(err)
	}
	if st, err := n.State(soon(t)); err != nil || st != (cluster.State{First: 61, Last: 60, Free: 1023}) {
		t.Errorf("a purged stream is %+v, %v", st, err)
	}
	if kept, _, err := n.After(soon(t), "a.room", 1, 10, 1<<20); err != nil || len(kept) != 0 {
		t.Errorf("of a purged room: %v, %v", kept, err)
	}
}

func TestBrokerTellsTheLastOfManyRooms(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	rooms := make([]string, cluster.LastMax)
	want := map[string]uint64{}
	large := strings.Repeat("x", 8<<10) // More than one answer takes.
	for i := range rooms {
		rooms[i] = fmt.Sprint("room.", i)
		if i%10 != 0 {
			mustPublish(t, n, rooms[i], fmt.Sprint("first.", i), "x")
			want[rooms[i]] = mustPublish(t, n, rooms[i], fmt.Sprint("last.", i), large)
		}
	}
	last, upTo, err := n.Last(soon(t), rooms, 0)
	if err != nil || upTo != 1800 || len(last) != len(want) {
		t.Fatalf("%d rooms as of %d, %v", len(last), upTo, err)
	}
	for _, l := range last {
		if l.Seq != want[l.Room] || l.ID != "last."+strings.TrimPrefix(l.Room, "room.") || l.Pack != nil {
			t.Errorf("the last of %s is %d %s", l.Room, l.Seq, l.ID)
		}
	}
	mustPublish(t, n, "room.7", "new.7", "x")
	if last, upTo, err := n.Last(soon(t), rooms, upTo+1); err != nil || upTo != 1801 || len(last) != 1 || last[0].ID != "new.7" {
		t.Errorf("since then: %v, %d, %v", last, upTo, err)
	}
	if is, err := n.Tail(soon(t), "room.7"); err != nil || is.Seq != 1801 || is.ID != "new.7" || is.Room != "room.7" {
		t.Errorf("the last of one room: %+v, %v", is, err)
	}
	if _, err := n.Tail(soon(t), "silent"); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("the last of a silent room: %v", err)
	}
	if last, upTo, err := n.Last(soon(t), []string{"silent"}, 0); err != nil || len(last) != 0 || upTo != 0 {
		t.Errorf("of a silent room: %v, %d, %v", last, upTo, err)
	}
}

func TestEpochIsSetByComparing(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	a, b := dial(t, withStream(s.ClientURL())), dial(t, withStream(s.ClientURL()))
	if e, rev, err := a.Epoch(soon(t)); err != nil || e != (cluster.Epoch{}) || rev != 0 {
		t.Fatalf("at first: %v, %d, %v", e, rev, err)
	}
	one, two := cluster.Epoch{Name: "aaaa.1", Seq: 3, Time: 4}, cluster.Epoch{Name: "bbbb.1"}
	if err := a.SetEpoch(soon(t), one, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.SetEpoch(soon(t), two, 0); !errors.Is(err, cluster.ErrConflict) {
		t.Errorf("the second to set one: %v", err)
	}
	e, rev, err := b.Epoch(soon(t))
	if err != nil || e != one {
		t.Fatalf("%v, %v", e, err)
	}
	if err := b.SetEpoch(soon(t), two, rev); err != nil {
		t.Error(err)
	}
	if err := a.SetEpoch(soon(t), one, rev); !errors.Is(err, cluster.ErrConflict) {
		t.Errorf("of an old revision: %v", err)
	}
}

func TestNothingIsStoredWhileNoBrokerIsThere(t *testing.T) {
	t.Parallel()
	n := dialOnly(t, withStream("nats://127.0.0.1:1"))
	if _, err := publish(t, n, "room", "id", "x"); !errors.Is(err, cluster.ErrNotStored) {
		t.Errorf("published: %v", err)
	}
}

// What is followed no more is told to the broker, by and by, and may be followed again at once.
func TestBrokerIsToldWhatIsFollowedNoMore(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	for _, room := range []string{"a", "b"} {
		if err := n.Subscribe(soon(t), room); err != nil {
			t.Fatal(err)
		}
	}
	n.Unsubscribe("a")
	n.Unsubscribe("b")
	if err := n.Subscribe(soon(t), "b"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the server knows of one subscription", func() bool {
		all, err := s.Connz(&server.ConnzOptions{Subscriptions: true})
		if err != nil || len(all.Conns) != 1 {
			t.Fatal(err, all)
		}
		followed := strings.Count(strings.Join(all.Conns[0].Subs, " "), "sluice.out.0.")
		return followed == 1
	})
	mustPublish(t, n, "a", "id.1", "x")
	mustPublish(t, n, "b", "id.2", "x")
	if l := next(t, n); l.Room != "b" {
		t.Errorf("%s is followed", l.Room)
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
