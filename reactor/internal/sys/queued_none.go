//go:build openbsd || dragonfly

package sys

// queued is not to be had: there is no such ioctl for sockets.
func queued(int) (int, error) { return 0, ErrUnsupported }
