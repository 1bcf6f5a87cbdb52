// Package blackbox does to the built gateway what a machine does to a process: it starts and stops
// it, takes its descriptors, resets its clients, and has its system calls fail. What it sees is
// what an operator sees: /proc, the log, and the clients' bytes.
//
// Times and numbers are smaller than the fault table's; each test says by how much.
package blackbox

import (
	"os"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) { os.Exit(testenv.RunWaiting(m, proctest.RemoveBuilt)) }
