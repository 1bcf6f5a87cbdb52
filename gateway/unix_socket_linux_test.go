package gateway_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/gateway"
)

// A proxy that connects for many clients at a time is refused (EAGAIN) what the queue has no place
// for, and answers them with an error. 128 places, which SOMAXCONN says, were too few.
func TestAsManyMayWaitOnAUnixSocketAsTheSystemAllows(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "socket")
	if err := newServer(t, gateway.Options{}).Listen("unix:" + path); err != nil {
		t.Fatal(err)
	}
	n := min(limit, 300)
	for i := range n {
		c, err := net.Dial("unix", path) // It is not served, so all of them wait.
		if err != nil {
			t.Fatalf("connection %d of %d: %v", i+1, n, err)
		}
		defer c.Close()
	}
}
