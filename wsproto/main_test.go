package wsproto

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/testenv"
)

// TestMain fails the package if its tests leave goroutines behind.
func TestMain(m *testing.M) {
	status := m.Run()
	err := goleak.Find()
	for end := time.Now().Add(testenv.Patience); err != nil && time.Now().Before(end); { // It waits for half a second each time.
		err = goleak.Find()
	}
	if status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
