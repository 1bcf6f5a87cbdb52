// Package clustertest holds nodes and their broker to what they promise, with NATS servers: in the
// test's process, or in others that it kills.
package clustertest

import (
	"os"
	"testing"

	"sluice/internal/natstest"
	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	natstest.Main()
	os.Exit(testenv.RunWaiting(m, proctest.RemoveBuilt))
}
