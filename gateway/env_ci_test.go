package gateway

import (
	"os"
	"testing"
)

// LeaveOut skips a test for want of a tool or a right, with the reason. A build machine must have all of them.
func LeaveOut(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("SLUICE_CI") == "1" {
		t.Fatalf("SLUICE_CI=1, but "+format, args...)
	}
	t.Skipf("left out: "+format, args...)
}
