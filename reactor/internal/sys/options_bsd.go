//go:build freebsd || netbsd || dragonfly

package sys

import "golang.org/x/sys/unix"

var (
	keepIdle     = place{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}
	notSentLowat place
)
