package web

import (
	"os"
	"testing"

	"sluice/internal/browsertest"
	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) { os.Exit(testenv.RunWaiting(m, browsertest.Stop)) }
