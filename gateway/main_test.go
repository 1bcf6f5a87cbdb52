package gateway

import (
	"os"
	"testing"

	"sluice/internal/sdktest"
	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	sdktest.RunChild()
	if os.Getenv(holdersEnv) != "" { // A holder is there to keep descriptors open.
		os.Exit(m.Run())
	}
	os.Exit(testenv.RunWaiting(m))
}
