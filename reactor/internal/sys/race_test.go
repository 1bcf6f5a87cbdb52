//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package sys

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// The race detector sees a system call's memory only through annotated wrappers. Without them a
// race on bytes that a write reads, be it one of a batch, such as those of a room's log, would go
// unreported for ever.
func TestRaceDetectorSeesMemoryOfSystemCalls(t *testing.T) {
	binary := buildPlantedRace(t)
	for _, args := range []string{"write", "read", "batch", "log", "ring", "ring ordered", "write ordered", "read ordered", "batch ordered", "log ordered"} {
		t.Run(strings.ReplaceAll(args, " ", "_"), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, strings.Fields(args)...)
			cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // It waits for its goroutines, and need not for a second more.
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == 3 {
				testenv.LeaveOut(t, "there is no io_uring here: %s", out)
			}
			reported := strings.Contains(string(out), "DATA RACE")
			if planted := !strings.HasSuffix(args, "ordered"); reported != planted || (err != nil) != planted {
				t.Errorf("race planted: %v, reported: %v, exit: %v\n%s", planted, reported, err, out)
			}
		})
	}
}

func buildPlantedRace(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	binary := filepath.Join(t.TempDir(), "plantedrace")
	out, err := exec.CommandContext(ctx, "go", "build", "-race", "-o", binary, "./testdata/plantedrace").CombinedOutput()
	if err == nil {
		return binary
	}
	for _, missing := range []string{"-race requires cgo", "-race is only supported", "-race is not supported", "C compiler"} {
		if !strings.Contains(string(out), missing) {
			continue
		}
		if os.Getenv("SLUICE_CI") == "1" {
			t.Fatalf("the race detector is missing: %s", out)
		}
		t.Skipf("no race detector here: %s", out)
	}
	t.Fatalf("%v\n%s", err, out)
	return ""
}
