// Package gatewaytest runs a gateway for tests that see it as other code and its clients do: by
// what package gateway exports, and by what comes over its sockets. Tests inside package gateway
// cannot import it.
package gatewaytest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/gateway"
	"sluice/internal/testenv"
	"sluice/web"
)

// Options are the default ones with two loops and the demo page, but without pings and hurry, which
// a test that takes long on a busy machine does not expect.
func Options() gateway.Options {
	return gateway.Options{
		Pages:            web.New(web.Options{}),
		AllowHost:        []string{"sluice.test"}, // what tests call it, on loopback
		Loops:            2,
		MaxConnections:   15_000,
		HandshakeTimeout: time.Minute,
		PingInterval:     time.Hour,
		StallTimeout:     time.Minute,
	}.Defaults()
}

// Start runs a gateway on a loopback port until the test ends, and returns it with its host:port.
func Start(t testing.TB, o gateway.Options) (*gateway.Server, string) {
	t.Helper()
	return StartWith(t, o, gateway.ListenOptions{})
}

// StartWith is Start for a listener of another kind.
func StartWith(t testing.TB, o gateway.Options, l gateway.ListenOptions) (*gateway.Server, string) {
	t.Helper()
	testenv.RaiseProcessors()
	s, err := gateway.New(o, slog.New(slog.NewTextHandler(testenv.LogTo(t), nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ListenWith("127.0.0.1:0", l); err != nil {
		s.Close()
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	<-s.Serving() // It is ready from then on.
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the gateway could not go on: %v", err)
		}
		CheckAccounts(t, s)
	})
	return s, s.Addrs()[0].(*net.TCPAddr).String()
}

// CheckAccounts holds what a closed gateway has counted against itself: no invariant was broken,
// every connection has ended once, and every message that was owed to a member became something.
func CheckAccounts(t testing.TB, s *gateway.Server) {
	t.Helper()
	st, err := s.Stats(context.Background())
	closed := uint64(0)
	for _, n := range st.Closed {
		closed += n
	}
	if err != nil || st.Broken > 0 || closed != st.Accepted || st.Hub.Due() != 0 {
		t.Errorf("%d times an invariant did not hold; %d connections were accepted and %d closed; of messages %+v, and %d came to nothing; %v",
			st.Broken, st.Accepted, closed, st.Hub.Account, int64(st.Hub.Due()), err)
	}
	if Metrics != nil {
		CheckMetrics(t, Metrics(t, s))
	}
}

// Metrics is what /metrics tells of a gateway, which CheckAccounts holds to its sums. TestMain sets
// it in packages that know package admin: this one must not, as admin's own tests import it.
var Metrics func(testing.TB, *gateway.Server) string

// CheckMetrics holds what /metrics tells of a closed gateway against itself.
func CheckMetrics(t testing.TB, text string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Error(err)
		return
	}
	sum := func(names ...string) (sum float64) {
		for _, name := range names {
			if all[name] == nil {
				t.Errorf("/metrics lacks %s", name)
			}
			for _, m := range all[name].GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		return sum
	}
	for _, equal := range [][2]float64{
		{sum("sluice_messages_owed_total"), sum("sluice_messages_delivered_total", "sluice_messages_skipped_total", "sluice_messages_ended_early_total")},
		{sum("sluice_accepted_total"), sum("sluice_closes_total")},
		{sum("sluice_connections", "sluice_http_connections", "sluice_members", "sluice_tls_handshaking", "sluice_senders_held"), 0},
	} {
		if equal[0] != equal[1] {
			t.Errorf("/metrics does not balance, %v is not %v:\n%s", equal[0], equal[1], text)
		}
	}
}

// ExpectClosed waits until n connections have ended for a reason.
func ExpectClosed(t testing.TB, s *gateway.Server, r gateway.CloseReason, n uint64) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d connections closed as %v", n, r), func() bool {
		return testenv.StatsOf(t, s).Closed[r] == n
	})
}
