package sys

import "golang.org/x/sys/unix"

var (
	// darwin's TCP_KEEPALIVE is what others call TCP_KEEPIDLE, tcp(4).
	keepIdle     = place{unix.IPPROTO_TCP, unix.TCP_KEEPALIVE}
	notSentLowat = place{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT}
)
