//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package reactor

import (
	"fmt"
	"runtime"
	"time"

	"sluice/reactor/internal/sys"
)

// backend is never made: newPoller refuses. It has the methods that the rest of the package is
// compiled against.
type backend struct{}

func newPoller(sys.Calls) (*Poller, error) {
	return nil, fmt.Errorf("reactor: new poller: there is neither epoll nor kqueue on %s: %w", runtime.GOOS, ErrUnsupported)
}

// Register returns ErrUnsupported.
func (*backend) Register(int, Token, Interest, Mode) error { return ErrUnsupported }

// Reregister returns ErrUnsupported.
func (*backend) Reregister(int, Token, Interest, Mode) error { return ErrUnsupported }

// Deregister returns ErrUnsupported.
func (*backend) Deregister(int) error { return ErrUnsupported }

// Wait returns ErrUnsupported.
func (*backend) Wait(dst []Event, _ time.Duration) ([]Event, error) { return dst, ErrUnsupported }

func (*backend) expect(bool) {}

// Wake returns ErrUnsupported.
func (*backend) Wake() error { return ErrUnsupported }

// Close returns ErrUnsupported.
func (*backend) Close() error { return ErrUnsupported }
