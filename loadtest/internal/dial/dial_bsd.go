//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package dial

import (
	"net/netip"
	"syscall"
)

// Source leaves the choice to the kernel: here 127.0.0.1 is the only loopback address unless
// somebody configured more. It returns an address that is not valid.
func Source(netip.Addr, int, byte) netip.Addr { return netip.Addr{} }

// bindSource is never asked, because Source names no address.
func bindSource(int, netip.Addr) error { return nil }

// Control is nil: there is no source to bind to.
func Control(netip.Addr) func(network, address string, c syscall.RawConn) error { return nil }
