package clustertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
	"sluice/internal/natstest"
	"sluice/internal/testenv"
)

// withStream are options with everything at its default but the servers, and room
// for what a fault under full load lasts.
func withStream(urls ...string) cluster.NATSOptions {
	return cluster.NATSOptions{
		URLs: urls, Name: "a gateway", Age: 10 * time.Minute, Messages: 100_000, Bytes: 1 << 30, MaxMessage: 64 << 10,
	}
}

// dial connects and prepares the stream.
func dial(t testing.TB, o cluster.NATSOptions) *cluster.NATS {
	t.Helper()
	n := dialOnly(t, o)
	await(t, n, cluster.Up)
	if err := n.Prepare(soon(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

func dialOnly(t testing.TB, o cluster.NATSOptions) *cluster.NATS {
	t.Helper()
	n, err := cluster.DialNATS(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// await waits until all of these events have come.
func await(t testing.TB, n *cluster.NATS, want cluster.Event) {
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
func publish(t testing.TB, n *cluster.NATS, room, id, pack string) (uint64, error) {
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

func mustPublish(t testing.TB, n *cluster.NATS, room, id, pack string) uint64 {
	t.Helper()
	seq, err := publish(t, n, room, id, pack)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func next(t testing.TB, n *cluster.NATS) cluster.Live {
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
	for _, n := range []*cluster.NATS{a, b} {
		for _, room := range []string{"chat.1", "chat.2"} {
			if err := n.Subscribe(soon(t), room); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []cluster.Live{}
	last := map[string]uint64{}
	for i := range 20 {
		n, room, id, pack := []*cluster.NATS{a, b}[i%2], fmt.Sprint("chat.", 1+i%3/2), fmt.Sprint("id.", i), fmt.Sprint("pack ", i)
		seq := mustPublish(t, n, room, id, pack)
		want = append(want, cluster.Live{Stored: cluster.Stored{Room: room, Seq: seq, ID: id, Pack: []byte(pack)}, Prev: last[room]})
		last[room] = seq
	}
	for _, n := range []*cluster.NATS{a, b} {
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
	answers := make(chan stored, len(rooms))
	large := strings.Repeat("x", 8<<10) // More than one answer takes.
	for i := range rooms {
		rooms[i] = fmt.Sprint("room.", i)
		if i%10 != 0 {
			n.Publish(rooms[i], fmt.Sprint("first.", i), []byte("x"), func(_ uint64, err error) { answers <- stored{err: err} })
			n.Publish(rooms[i], fmt.Sprint("last.", i), []byte(large), func(seq uint64, err error) { want[rooms[i]] = seq; answers <- stored{seq, err} })
		}
	}
	for range len(rooms) / 10 * 9 * 2 {
		if a := <-answers; a.err != nil {
			t.Fatal(a.err)
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

// A stream whose settings are not ours is used by nobody, and stays as it is.
func TestB15_StreamThatDiffersIsRefusedFieldByField(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	o := withStream(s.ClientURL())
	dial(t, o).Close()
	o.Age, o.Messages, o.Bytes, o.InMemory, o.Replicas = time.Hour, 10, 1<<20, true, 3
	n := dialOnly(t, o)
	await(t, n, cluster.Up)
	err := n.Prepare(soon(t))
	if !errors.Is(err, cluster.ErrUnfit) {
		t.Fatalf("prepared: %v", err)
	}
	for _, word := range []string{
		"max age is 10m0s, not 1h0m0s (--cluster-age)", "max messages per subject is 100000, not 10 (--cluster-messages)",
		"max bytes is 1073741824, not 1048576 (--cluster-bytes)", "storage is File, not Memory (--cluster-storage)",
		"replicas is 1, not 3 (--cluster-replicas)",
	} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	if found := cluster.CheckNATS(soon(t), o); len(found) != 2 || found[0].Error() != cluster.ErrForgeable.Error() || found[1].Error() != err.Error() {
		t.Errorf("a check finds %v", found)
	}
	if again := dial(t, withStream(s.ClientURL())); again.Prepare(soon(t)) != nil {
		t.Error("the stream has changed")
	}
}

// What a stream must not be, whoever made it.
func TestB15_StreamThatOthersMadeIsHeldAgainstOurs(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(soon(t), jetstream.StreamConfig{
		Name: "SLUICE_0", Subjects: []string{"sluice.in.>"}, MaxAge: 10 * time.Minute, MaxMsgsPerSubject: 1000, MaxBytes: 1 << 30,
		Discard: jetstream.DiscardNew, RePublish: &jetstream.RePublish{Source: "sluice.in.>", Destination: "sluice.out.>", HeadersOnly: true},
		Duplicates: time.Minute,
	}); err != nil {
		t.Fatal(err)
	}
	n := dialOnly(t, withStream(s.ClientURL()))
	await(t, n, cluster.Up)
	err = n.Prepare(soon(t))
	for _, word := range []string{"subjects is", "discard is", "allow direct is false", "republish is", "headers only", "duplicate window is 1m0s"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}

// permitted are options of a server with one user, who may do what the documents say a gateway needs.
func permitted(mayForge bool) func(*server.Options) {
	return func(o *server.Options) {
		p := &server.SubjectPermission{Allow: []string{
			"sluice.in.>", "sluice.node.>", "$JS.API.INFO", "$JS.API.STREAM.*.SLUICE_0", "$JS.API.STREAM.*.KV_SLUICE_EPOCH", "$JS.API.STREAM.MSG.GET.*",
			"$JS.API.DIRECT.GET.SLUICE_0", "$KV.SLUICE_EPOCH.>", "_INBOX.>",
		}}
		if mayForge {
			p.Allow = append(p.Allow, "sluice.out.>")
		}
		o.Users = []*server.User{{Username: "gateway", Password: "secret", Permissions: &server.Permissions{
			Publish:   p,
			Subscribe: &server.SubjectPermission{Allow: []string{"sluice.out.>", "sluice.node.>", "$JS.EVENT.ADVISORY.STREAM.>", "_INBOX.>"}},
		}}}
	}
}

func TestB14_PermissionsThatAreTooWideAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, mayForge := range []bool{true, false} {
		s := natstest.Start(t, permitted(mayForge))
		url := strings.Replace(s.ClientURL(), "nats://", "nats://gateway:secret@", 1)
		var log lines
		o := withStream(url)
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		n := dial(t, o)
		if err := n.Subscribe(soon(t), "room"); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, n, "room", "id", "x")
		if is := next(t, n); is.ID != "id" {
			t.Errorf("came %v", is)
		}
		if err := n.SetEpoch(soon(t), cluster.Epoch{Name: "aaaaaaaa"}, 0); err != nil {
			t.Error(err)
		}
		n.Close()
		if warned := strings.Contains(log.String(), "too wide"); warned != mayForge {
			t.Errorf("may forge: %v, warned: %v", mayForge, warned)
		}
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("refused something:\n%s", log.String())
		}
		found := cluster.CheckNATS(soon(t), withStream(url))
		if mayForge != (len(found) == 1 && errors.Is(found[0], cluster.ErrForgeable)) || !mayForge && len(found) != 0 {
			t.Errorf("may forge: %v, a check finds %v", mayForge, found)
		}
	}
}

func TestCheckTellsWhatTheBrokerWouldRefuse(t *testing.T) {
	t.Parallel()
	plain := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	small := natstest.Start(t)
	if err := small.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": {MaxMemory: -1, MaxStore: 1 << 20, MaxStreams: -1, MaxConsumers: -1}}); err != nil {
		t.Fatal(err)
	}
	few := natstest.Start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "gateway", Password: "secret", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"sluice.>"}},
		}}}
	})
	for _, c := range []struct{ url, want string }{
		{plain.ClientURL(), "JetStream"},
		{small.ClientURL(), "fewer than the 1073741824 of --cluster-bytes"},
		{strings.Replace(few.ClientURL(), "nats://", "nats://gateway:secret@", 1), "sluice.in.0.probe"},
		{few.ClientURL(), "uthorization"},
		{"nats://127.0.0.1:1", "connecting"},
	} {
		if found := fmt.Sprint(cluster.CheckNATS(soon(t), withStream(c.url))); !strings.Contains(found, c.want) {
			t.Errorf("%s: %s does not say %q", c.url, found, c.want)
		}
	}
	if found := cluster.CheckNATS(soon(t), withStream(natstest.Start(t, permitted(false)).ClientURL())); len(found) == 0 {
		t.Error("without a password a check finds nothing")
	}
	full := natstest.Start(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 })
	n := dialOnly(t, withStream(full.ClientURL()))
	await(t, n, cluster.Up)
	if err := n.Prepare(soon(t)); err == nil || !strings.Contains(err.Error(), "cannot be made") {
		t.Errorf("on a full server: %v", err)
	}
}

func TestB16_SizeLimitIsTheSmallestOfThreeAndSaidOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(o *server.Options) { o.MaxPayload = 32 << 10 })
	var log lines
	o := withStream(s.ClientURL())
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	n := dial(t, o)
	if err := n.Prepare(soon(t)); err != nil {
		t.Fatal(err)
	}
	if n.Limit() != 28<<10 {
		t.Errorf("limit %d", n.Limit())
	}
	if times := strings.Count(log.String(), "messages may be no larger"); times != 1 {
		t.Errorf("said %d times:\n%s", times, log.String())
	}
	if _, err := publish(t, n, "room", "id.1", strings.Repeat("x", 33<<10)); !errors.Is(err, cluster.ErrRefused) {
		t.Errorf("a pack that is too large: %v", err)
	}
	mustPublish(t, n, "room", "id.2", strings.Repeat("x", 28<<10))
}

// Servers whose limit leaves nothing to messages are told apart from those of which nothing is known.
func TestB16_LimitThatLeavesNothingToMessagesIsRefused(t *testing.T) {
	t.Parallel()
	o := withStream(natstest.Start(t, func(o *server.Options) { o.MaxPayload = 6 << 10 }).ClientURL())
	n := dialOnly(t, o)
	await(t, n, cluster.Up)
	if err := n.Prepare(soon(t)); !errors.Is(err, cluster.ErrUnfit) || n.Limit() != 0 {
		t.Errorf("%v, a limit of %d", err, n.Limit())
	}
	if found := fmt.Sprint(cluster.CheckNATS(soon(t), o)); !strings.Contains(found, "8192") {
		t.Error("a check says", found)
	}
}

func TestNothingIsStoredWhileNoBrokerIsThere(t *testing.T) {
	t.Parallel()
	n := dialOnly(t, withStream("nats://127.0.0.1:1"))
	if _, err := publish(t, n, "room", "id", "x"); !errors.Is(err, cluster.ErrNotStored) {
		t.Errorf("published: %v", err)
	}
}

func TestDeletedStreamIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	mustPublish(t, n, "room", "id.1", "x")
	js, err := jetstream.New(n.Conn())
	if err == nil {
		err = js.DeleteStream(soon(t), "SLUICE_0")
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, n, cluster.Up)
	if err := n.Prepare(soon(t)); err != nil {
		t.Fatal(err)
	}
	if seq := mustPublish(t, n, "room", "id.2", "x"); seq != 1 {
		t.Errorf("stored at %d", seq)
	}
}

// Whoever may publish into the stream may give a message headers that only the stream should.
func TestB09_PublishersCannotNumberMessages(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	if err := n.Subscribe(soon(t), "room"); err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("sluice.in.0.room")
	for name, values := range map[string][]string{
		"Nats-Msg-Id": {"id.1", "id.2"}, "Nats-Stream": {"OTHER"}, "Nats-Sequence": {"77"}, "Nats-Last-Sequence": {"76"},
		"Nats-Time-Stamp": {"2000-01-01T00:00:00Z"}, "Nats-Subject": {"sluice.in.0.other"},
	} {
		m.Header[name] = values
	}
	if err := n.Conn().PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	live := next(t, n)
	if live.Seq != 1 || live.Prev != 0 || live.ID != "id.1" || live.Room != "room" || live.Time < time.Now().Add(-time.Hour).UnixNano() {
		t.Errorf("republished as %+v", live)
	}
	kept, _, err := n.After(soon(t), "room", 1, 10, 1<<20)
	if err != nil || len(kept) != 1 || fmt.Sprint(kept[0]) != fmt.Sprint(live.Stored) {
		t.Errorf("fetched as %+v, %v", kept, err)
	}
	if is, err := n.At(soon(t), 1); err != nil || is.ID != live.ID || is.Time != live.Time || is.Room != live.Room {
		t.Errorf("the leader has %+v, %v", is, err)
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

// B06: the node takes nothing for a while. What waits for it stays within 32 MiB, it is told that
// something is missing, and can fetch that.
func TestB06_NodeThatTakesNothingIsTold(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	if err := n.Subscribe(soon(t), "room"); err != nil {
		t.Fatal(err)
	}
	n.Events()
	pack := strings.Repeat("x", 1<<20-4<<10)
	const packs = 60
	for i := range packs {
		mustPublish(t, n, "room", fmt.Sprint("id.", i), pack)
	}
	await(t, n, cluster.Slow)
	if err := n.Subscribe(soon(t), "end"); err != nil {
		t.Fatal(err)
	}
	seen, last := 0, uint64(0)
	for i, l := 0, (cluster.Live{}); l.Room != "end"; i++ {
		mustPublish(t, n, "end", fmt.Sprint("end.", i), "x") // It is dropped as well while all is full.
		for l = next(t, n); l.Room == "room" && l.Seq > last; l = next(t, n) {
			if seen, last = seen+1, l.Seq; seen%8 == 0 {
				break
			}
		}
	}
	if seen == packs || seen > 16+32+8 {
		t.Errorf("%d of %d packs were kept", seen, packs)
	}
	kept, _, err := n.After(soon(t), "room", packs, 10, 1<<20)
	if err != nil || len(kept) != 1 || kept[0].Seq != packs {
		t.Errorf("the last one: %d kept, %v", len(kept), err)
	}
}

// B08: names that mean something to NATS.
func TestB08_RoomsNamesStayApart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	rooms := []string{"a", "a.b", "a..b", "a.b.", ".", "..", "A", "a:b", "a~b", "-", "in.out"}
	for _, room := range rooms {
		if err := n.Subscribe(soon(t), room); err != nil {
			t.Fatal(err)
		}
	}
	for i, room := range rooms {
		mustPublish(t, n, room, fmt.Sprint("id.", i), room)
		if is := next(t, n); is.Room != room || string(is.Pack) != room {
			t.Errorf("%q came as %q of %q", room, is.Pack, is.Room)
		}
	}
	for _, room := range rooms {
		n.Unsubscribe(room)
		kept, _, err := n.After(soon(t), room, 1, 10, 1<<20)
		if err != nil || len(kept) != 1 || kept[0].Room != room {
			t.Errorf("%q keeps %v, %v", room, kept, err)
		}
	}
	mustPublish(t, n, "a", "more", "x")
	mustPublish(t, n, "a.b", "more.2", "x")
	if err := n.Subscribe(soon(t), "end"); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, n, "end", "end", "x")
	if is := next(t, n); is.Room != "end" {
		t.Errorf("%q is followed yet", is.Room)
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
