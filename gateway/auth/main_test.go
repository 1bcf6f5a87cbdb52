package auth_test

import (
	"os"
	"testing"

	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }
