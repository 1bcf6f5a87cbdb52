package proctest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// aloneEnv has the name of the test that a process is for.
const aloneEnv = "SLUICE_TEST_ALONE"

// Alone runs the calling test in a process of its own, while others go on in this one: it is for
// what measures a whole process, its heap say, and would otherwise have to wait until nothing else
// runs. It reports whether this is that process; where it is not, the test is over, as it ended
// there. It stands in front of all that the test does.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		return true
	}
	t.Parallel()
	said, err := runAlone(t, t.Name())
	t.Logf("in a process of its own:\n%s", said)
	if err != nil {
		t.Errorf("in a process of its own: %v", err)
	}
	return false
}

// runAlone has this test binary run one test, with the flags that this one was given but for those
// which say what to run and where to write it. It ends before t's time is over: who hangs there is
// seen, and not left behind.
func runAlone(t *testing.T, test string) (said []byte, err error) {
	args := []string{"-test.run=^" + test + "$", "-test.v"}
	if end, ok := t.Deadline(); ok {
		args = append(args, fmt.Sprint("-test.timeout=", max(time.Until(end)*9/10, time.Second)))
	}
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), aloneEnv+"="+test)
	return cmd.CombinedOutput()
}
