package clustertest

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
	"sluice/hub/cluster/natsbroker"
	"sluice/internal/natstest"
)

// A stream whose settings are not ours is used by nobody, and stays as it is.
func TestB15_StreamThatDiffersIsRefusedFieldByField(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	o := withStream(s.ClientURL())
	dial(t, o).Close()
	o.Age, o.Messages, o.Bytes, o.InMemory, o.Replicas = time.Hour, 10, 1<<20, true, 3
	n := dialOnly(t, o)
	await(t, n, cluster.Up)
	err := prepare(t, n)
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
	if found := natsbroker.Check(soon(t), o); len(found) != 2 || found[0].Error() != natsbroker.ErrForgeable.Error() || found[1].Error() != err.Error() {
		t.Errorf("a check finds %v", found)
	}
	if again := dial(t, withStream(s.ClientURL())); prepare(t, again) != nil {
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
	err = prepare(t, n)
	for _, word := range []string{"subjects is", "discard is", "allow direct is false", "republish is", "headers only", "duplicate window is 1m0s"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}

// permitted are options of a server with one user, who may do what the documents say a gateway
// needs.
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
		found := natsbroker.Check(soon(t), withStream(url))
		if mayForge != (len(found) == 1 && errors.Is(found[0], natsbroker.ErrForgeable)) || !mayForge && len(found) != 0 {
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
		if found := fmt.Sprint(natsbroker.Check(soon(t), withStream(c.url))); !strings.Contains(found, c.want) {
			t.Errorf("%s: %s does not say %q", c.url, found, c.want)
		}
	}
	if found := natsbroker.Check(soon(t), withStream(natstest.Start(t, permitted(false)).ClientURL())); len(found) == 0 {
		t.Error("without a password a check finds nothing")
	}
	full := natstest.Start(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 })
	n := dialOnly(t, withStream(full.ClientURL()))
	await(t, n, cluster.Up)
	if err := prepare(t, n); err == nil || !strings.Contains(err.Error(), "cannot be made") {
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
	if err := prepare(t, n); err != nil {
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

// Servers whose limit leaves nothing to messages are told apart from those of which nothing is
// known.
func TestB16_LimitThatLeavesNothingToMessagesIsRefused(t *testing.T) {
	t.Parallel()
	o := withStream(natstest.Start(t, func(o *server.Options) { o.MaxPayload = 6 << 10 }).ClientURL())
	n := dialOnly(t, o)
	await(t, n, cluster.Up)
	if err := prepare(t, n); !errors.Is(err, cluster.ErrUnfit) || n.Limit() != 0 {
		t.Errorf("%v, a limit of %d", err, n.Limit())
	}
	if found := fmt.Sprint(natsbroker.Check(soon(t), o)); !strings.Contains(found, "8192") {
		t.Error("a check says", found)
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
	if err := prepare(t, n); err != nil {
		t.Fatal(err)
	}
	if seq := mustPublish(t, n, "room", "id.2", "x"); seq != 1 {
		t.Errorf("stored at %d", seq)
	}
}
