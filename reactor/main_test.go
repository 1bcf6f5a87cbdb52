//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain fails when a test leaves a goroutine or a descriptor behind.
func TestMain(m *testing.M) {
	os.Exit(checked(m))
}

func checked(m *testing.M) int {
	// The runtime opens its own poller with the first socket, and keeps it.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	before := openDescriptors()
	code := m.Run()
	if code != 0 {
		return code
	}
	err := goleak.Find()
	for end := time.Now().Add(lost); err != nil && time.Now().Before(end); { // It waits for half a second each time.
		err = goleak.Find()
	}
	if err != nil {
		fmt.Println("goroutines are left:", err)
		return 1
	}
	if after := openDescriptors(); after != before {
		fmt.Printf("%d descriptors are open, %d before the tests\n", after, before)
		return 1
	}
	return 0
}

// openDescriptors counts this process's open descriptors.
func openDescriptors() (n int) {
	for fd := range 4096 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}
