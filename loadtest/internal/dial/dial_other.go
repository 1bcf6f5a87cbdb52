//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package dial

import (
	"net/netip"
	"syscall"

	"sluice/reactor"
)

// Source names no address: nothing connects here.
func Source(netip.Addr, int, byte) netip.Addr { return netip.Addr{} }

// Start refuses: the reactor has no backend here.
func Start(netip.AddrPort, netip.Addr) (int, error) { return -1, reactor.ErrUnsupported }

// Control is nil: there is no source to bind to.
func Control(netip.Addr) func(network, address string, c syscall.RawConn) error { return nil }
