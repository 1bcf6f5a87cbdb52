//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package main

import (
	"net/netip"
	"syscall"
)

// sourceFor leaves the choice to the kernel: here 127.0.0.1 is the only loopback address unless somebody configured more.
func sourceFor(netip.Addr, int, byte) netip.Addr { return netip.Addr{} }

// bindSource is never asked, because sourceFor names no address.
func bindSource(int, netip.Addr) error { return nil }

func sourceControl(netip.Addr) func(network, address string, c syscall.RawConn) error { return nil }
