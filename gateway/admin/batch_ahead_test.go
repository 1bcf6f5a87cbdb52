package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
)

// A slowCluster acknowledges what was published when it is told to, and takes no more than so many
// messages until then.
type slowCluster struct {
	gateway.Cluster // nothing else is asked

	mu      sync.Mutex
	takes   int
	said    []string
	waiting []func(error)
	fails   error // of the third message
}

func (c *slowCluster) Publish(_ string, m hub.Source, _ string, done func(hub.Position, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == c.takes {
		return hub.ErrFull
	}
	c.said = append(c.said, string(m.Payload))
	at := hub.Position{Epoch: "epoch001", Offset: uint64(len(c.said))}
	c.waiting = append(c.waiting, func(err error) { done(at, err) })
	return nil
}

// acknowledge answers what waits: the third message that came by its fault.
func (c *slowCluster) acknowledge() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = len(c.waiting)
	for i, done := range c.waiting {
		if len(c.said)-n+i == 2 {
			done(c.fails)
		} else {
			done(nil)
		}
	}
	c.waiting = nil
	return n
}

// What a cluster refuses for its size is told as that line's own fault, and the others are
// published.
func TestLineThatTheClusterRefusesIsTooLarge(t *testing.T) {
	t.Parallel()
	c := &slowCluster{takes: 100, fails: fmt.Errorf("refused: %w", hub.ErrTooLarge)}
	o := gatewaytest.Options()
	o.Cluster = func(gateway.Rooms) gateway.Cluster { return c }
	s := startSite(t, o, nil)
	answers := make(chan answer, 1)
	go func() { answers <- s.publish("r", "0\n1\n2\n3", "Content-Type", "application/x-ndjson") }()
	testenv.Eventually(t, "4 lines wait", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiting) == 4
	})
	c.acknowledge()
	a := <-answers
	s.expect("the batch", a, 200, `{"published":3,"results":[{"members":0},{"members":0},{"error":{"code":"too_large"`)
	if st := testenv.StatsOf(t, s.gateway); st.Published != 3 || st.Unacknowledged != 0 {
		t.Errorf("counted %d messages, %d not acknowledged", st.Published, st.Unacknowledged)
	}
}

// Whether a room would keep a message the rules say, also while a cluster cannot fill it, and no
// room is made for that.
func TestSkippingHistoryIsRefusedInAnOutage(t *testing.T) {
	t.Parallel()
	c := &slowCluster{takes: 100}
	o := gatewaytest.Options()
	o.Cluster = func(gateway.Rooms) gateway.Cluster { return c }
	o.History = []gateway.HistoryRule{{Pattern: "h", Messages: 10}}
	o.ClusterTimeout = time.Millisecond
	s := startSite(t, o, nil)
	skip := func() {
		t.Helper()
		s.expect("skip_history", s.ask("POST", "/api/publish", `{"channel":"h","data":1,"skip_history":true}`), 200, `{"error":{"code":108,`)
		if len(c.said) > 0 {
			t.Errorf("published %q", c.said)
		}
	}
	skip()
	s.expect("the room", s.ask("GET", "/api/rooms/h", ""), 404, `"no_room"`)
	s.expect("its history", s.ask("POST", "/api/history", `{"channel":"h","limit":1}`), 200, `{"error":{"code":100,`)
	skip() // The room is there now, and is not filled.
}

func (c *slowCluster) Open(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
func (c *slowCluster) Release(string)                           {}
func (c *slowCluster) Ready() error                             { return nil }

// A batch goes to the cluster without waiting for each line, as far as its room takes any, and its
// answers stand in the order of the lines.
func TestBatchGoesAheadOfItsAcknowledgements(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		takes, lines int
		fails        error
		want         string
		waits        []int // how many wait for an acknowledgement when nothing moves any more
	}{
		{100, 5, nil, `"published":5`, []int{5}},
		{2, 5, nil, `"published":5`, []int{2, 2, 1}},
		{100, 5, errors.New("lost"), `"published":2`, []int{5}},
	} {
		c := &slowCluster{takes: test.takes, fails: test.fails}
		o := gatewaytest.Options()
		o.Cluster = func(gateway.Rooms) gateway.Cluster { return c }
		s := startSite(t, o, nil)
		var lines []string
		for i := range test.lines {
			lines = append(lines, fmt.Sprint(i))
		}
		answers := make(chan answer, 1)
		go func() {
			answers <- s.publish("r", strings.Join(slices.Insert(slices.Clone(lines), 1, "{"), "\n"), "Content-Type", "application/x-ndjson")
		}()
		for _, n := range test.waits {
			testenv.Eventually(t, fmt.Sprint(n, " lines wait"), func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return len(c.waiting) == n
			})
			c.acknowledge()
		}
		a := <-answers
		status := 200
		if test.fails != nil {
			status = 503
		}
		s.expect("the batch", a, status, test.want)
		if !slices.Equal(c.said, lines) {
			t.Errorf("published %q", c.said)
		}
		if st := testenv.StatsOf(t, s.gateway); int(st.Published+st.Unacknowledged) != test.lines || (st.Unacknowledged == 1) != (test.fails != nil) {
			t.Errorf("counted %d messages, %d not acknowledged, of %d lines", st.Published, st.Unacknowledged, test.lines)
		}
		s.expect("the second line, which is none", a, status, `"results":[{"members":0},{"error":{"code":"json"`)
	}
}
