package testenv

import (
	"os"
	"testing"
)

// IsWholeSize reports, and says, whether a test of size is to run at the size that its figures are
// of, as it does in CI. Small it holds the gateway to the same rules, and so it is under the race
// detector, which makes it many times as long.
func IsWholeSize(t testing.TB) bool {
	t.Helper()
	isWhole := os.Getenv("SLUICE_CI") == "1" && !RaceEnabled
	if isWhole {
		t.Log("whole size")
	} else {
		t.Log("small size; whole with SLUICE_CI=1, without -race")
	}
	return isWhole
}

// LeaveToCI skips a test that costs more than all others of its package, unless SLUICE_CI=1 is in
// the environment. Under the race detector it never runs: it is for tests of programs, which are
// built without it.
func LeaveToCI(t testing.TB, cost string) {
	t.Helper()
	if os.Getenv("SLUICE_CI") != "1" || RaceEnabled {
		t.Skip(cost + ": only with SLUICE_CI=1, without -race")
	}
}

// LeaveOut skips a test for want of a tool or a right, with the reason. With SLUICE_CI=1 in the
// environment it fails instead: a build machine must have all of them.
func LeaveOut(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SLUICE_CI") == "1" {
		t.Fatalf("SLUICE_CI=1, but "+format, args...)
	}
	t.Skipf("left out: "+format, args...)
}
