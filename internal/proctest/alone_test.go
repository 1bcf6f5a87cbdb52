package proctest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestLonely is of use only as a child: it says which process it is in, and fails.
func TestLonely(t *testing.T) {
	if os.Getenv(aloneEnv) == t.Name() {
		t.Fatalf("process %d.", os.Getpid())
	}
}

// A test that has a process of its own is in another one, and what becomes of it there is seen.
func TestWhatIsAloneMayFail(t *testing.T) {
	said, err := runAlone(t, "TestLonely")
	if err == nil || !strings.Contains(string(said), "process ") || strings.Contains(string(said), fmt.Sprintf("process %d.", os.Getpid())) {
		t.Errorf("%v: %s", err, said)
	}
	if said, err := runAlone(t, "TestAlone"); err != nil || strings.Count(string(said), "--- PASS") != 1 {
		t.Errorf("%v: %s", err, said)
	}
}

func TestAlone(t *testing.T) {
	if !Alone(t) {
		return
	}
	if os.Getenv(aloneEnv) != "TestAlone" {
		t.Error("it is not alone")
	}
}
