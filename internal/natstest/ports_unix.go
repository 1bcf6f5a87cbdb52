//go:build unix

package natstest

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Ports returns ports of the loopback, each for one server, that nobody else is given until the
// test ends. A socket is bound to each that never listens: a server may listen there all the same,
// since both are bound to be reused (SO_REUSEADDR, socket(7)), and who asks for any port gets
// another.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		syscall.ForkLock.RLock() // Or a program that is started now would have the port for itself.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			unix.CloseOnExec(fd)
		}
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(os.NewSyscallError("socket", err))
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			t.Fatal(os.NewSyscallError("setsockopt", err))
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(os.NewSyscallError("bind", err))
		}
		where, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(os.NewSyscallError("getsockname", err))
		}
		ports[i] = where.(*unix.SockaddrInet4).Port
	}
	return ports
}
