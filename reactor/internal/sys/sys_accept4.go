//go:build freebsd || dragonfly

package sys

import "golang.org/x/sys/unix"

// Accept implements Calls. Its twin sys_accept.go is for systems without accept4(2).
func (Real) Accept(fd int) (int, error) {
	n, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return n, err
}
