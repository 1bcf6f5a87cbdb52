package testenv

import (
	"os"
	"testing"
)

// LeaveOut skips a test for want of a tool or a right, with the reason. With SLUICE_CI=1 in the
// environment it fails instead: a build machine must have all of them.
func LeaveOut(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SLUICE_CI") == "1" {
		t.Fatalf("SLUICE_CI=1, but "+format, args...)
	}
	t.Skipf("left out: "+format, args...)
}
