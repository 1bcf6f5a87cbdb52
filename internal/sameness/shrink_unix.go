//go:build unix

package main

import "syscall"

// shrink makes a socket take little before it is read.
func shrink(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) // Without it more is sent, that is all.
}
