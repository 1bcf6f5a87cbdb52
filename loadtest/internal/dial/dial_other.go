//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package dial

import (
	"net/netip"
	"syscall"

	"sluice/reactor"
)

func Source(netip.Addr, int, byte) netip.Addr { return netip.Addr{} }

// Start refuses: the reactor has no backend here.
func Start(netip.AddrPort, netip.Addr) (int, error) { return -1, reactor.ErrUnsupported }

func Control(netip.Addr) func(network, address string, c syscall.RawConn) error { return nil }
