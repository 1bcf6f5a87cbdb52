//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package sys

import (
	"net/netip"
	"time"
)

// pollCalls is empty: this system has neither epoll nor kqueue.
type pollCalls interface{}

// Real tells the time and refuses everything else.
type Real struct{}

var start = time.Now()

// Now implements Calls.
func (Real) Now() time.Duration { return time.Since(start) }

// Accept implements Calls.
func (Real) Accept(int) (int, error) { return -1, ErrUnsupported }

// Read implements Calls.
func (Real) Read(int, []byte) (int, error) { return 0, ErrUnsupported }

// Write implements Calls.
func (Real) Write(int, []byte) (int, error) { return 0, ErrUnsupported }

// CloseWrite implements Calls.
func (Real) CloseWrite(int) error { return ErrUnsupported }

// Close implements Calls.
func (Real) Close(int) error { return ErrUnsupported }

// SetOption implements Calls.
func (Real) SetOption(int, Option, int) error { return ErrUnsupported }

// Option implements Calls.
func (Real) Option(int, Option) (int, error) { return 0, ErrUnsupported }

// Queued implements Calls.
func (Real) Queued(int) (int, error) { return 0, ErrUnsupported }

// PeerAddress implements Calls.
func (Real) PeerAddress(int) (netip.Addr, error) { return netip.Addr{}, ErrUnsupported }

// Duplicate returns ErrUnsupported.
func Duplicate(int) (int, error) { return -1, ErrUnsupported }

// DescriptorLimit returns ErrUnsupported.
func DescriptorLimit() (uint64, error) { return 0, ErrUnsupported }
