//go:build darwin || openbsd || netbsd

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Accept implements Calls. Its twin sys_accept4.go is for systems that have, and x/sys knows,
// accept4(2).
func (Real) Accept(fd int) (int, error) {
	// No child may be started before the descriptor is marked. The lock is held briefly: fd does
	// not block.
	syscall.ForkLock.RLock()
	n, _, err := unix.Accept(fd)
	if err == nil {
		unix.CloseOnExec(n)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(n, true); err != nil {
		unix.Close(n)
		return -1, err
	}
	return n, nil
}
