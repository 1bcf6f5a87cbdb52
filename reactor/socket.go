package reactor

import (
	"fmt"

	"sluice/reactor/internal/sys"
)

// An Option is a socket option, in words that mean the same on every system; see Kernel.SetOption.
type Option = sys.Option

// The options a connection uses. A system that lacks one returns ErrUnsupported.
const (
	NoDelay      = sys.NoDelay      // 0 or 1: TCP_NODELAY
	KeepAlive    = sys.KeepAlive    // 0 or 1: SO_KEEPALIVE
	KeepIdle     = sys.KeepIdle     // seconds of silence before the first probe
	NotSentLowat = sys.NotSentLowat // bytes that may wait in the kernel unsent
	UserTimeout  = sys.UserTimeout  // milliseconds that sent bytes may stay unacknowledged
	SendBuffer   = sys.SendBuffer   // bytes: SO_SNDBUF
	AbortOnClose = sys.AbortOnClose // 0 or 1: close resets the connection and drops what is unsent
	PendingError = sys.PendingError // read only: SO_ERROR, cleared by reading
)

// Duplicate returns a second non-blocking descriptor of the same open file, closed on exec. It is
// for start-up and for handing a connection over.
func Duplicate(fd int) (int, error) { return sys.Duplicate(fd) }

// SharePort lets other sockets listen where this one is going to, if they say so too: the kernel
// then spreads connections over all of them (SO_REUSEPORT of socket(7)). It is ErrUnsupported on
// other systems than Linux.
func SharePort(fd int) error {
	if err := (sys.Real{}).SetOption(fd, sys.ReusePort, 1); err != nil {
		return fmt.Errorf("reactor: share a port: %w", err)
	}
	return nil
}

// DescriptorLimit raises this process's limit of open descriptors as far as it may, for children
// too, and returns it.
func DescriptorLimit() (uint64, error) { return sys.DescriptorLimit() }
