//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package dial

import (
	"net/netip"
	"syscall"
)

// Source leaves the choice to the kernel: here 127.0.0.1 is the only loopback address unless somebody configured more.
func Source(netip.Addr, int, byte) netip.Addr { return netip.Addr{} }

// bindSource is never asked, because sourceFor names no address.
func bindSource(int, netip.Addr) error { return nil }

func Control(netip.Addr) func(network, address string, c syscall.RawConn) error { return nil }
