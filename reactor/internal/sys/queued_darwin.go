package sys

import "golang.org/x/sys/unix"

// queued is what SO_NWRITE says, setsockopt(2): bytes in the output buffer.
func queued(fd int) (int, error) {
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NWRITE)
}
