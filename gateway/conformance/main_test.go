// Package conformance holds a gateway to what clients may expect of it: RFC 6455 and RFC 7692,
// HTTP, the cases of Autobahn's suite under their numbers, and a real browser. It sees what any
// program sees that imports package gateway, and what comes over its sockets.
package conformance

import (
	"os"
	"testing"

	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/metricstest"
	"sluice/internal/sdktest"
	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	sdktest.RunChild()
	gatewaytest.Metrics = metricstest.Scrape
	os.Exit(testenv.RunWaiting(m, browsertest.Stop))
}
