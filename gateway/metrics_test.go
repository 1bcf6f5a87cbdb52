package gateway_test

import (
	"testing"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/metricstest"
)

// N24. After every test of this package, those of faults among them, what /metrics tells of the
// gateway that was closed balances.
func init() {
	gateway.CheckMetrics = func(t testing.TB, s *gateway.Server) {
		t.Helper()
		gatewaytest.CheckMetrics(t, metricstest.Scrape(t, s))
	}
}
