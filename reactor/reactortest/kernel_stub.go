//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package reactortest

// registration is nothing: this system has no poller.
type registration struct{}

func (*Kernel) nudge(int) {}
