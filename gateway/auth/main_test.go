package auth_test

import (
	"os"
	"testing"

	"sluice/internal/gatewaytest"
	"sluice/internal/metricstest"
	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	gatewaytest.Metrics = metricstest.Scrape
	os.Exit(testenv.Run(m))
}
