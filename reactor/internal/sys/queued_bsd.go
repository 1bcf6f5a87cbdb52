//go:build freebsd || netbsd

package sys

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// fionwrite is FIONWRITE of <sys/filio.h>, _IOR('f', n, int), which x/sys does not have: n is 119
// on FreeBSD and 121 on NetBSD. It counts the bytes in the output buffer.
func fionwrite() uint {
	if runtime.GOOS == "netbsd" {
		return 0x40046679
	}
	return 0x40046677
}

func queued(fd int) (int, error) { return unix.IoctlGetInt(fd, fionwrite()) }
