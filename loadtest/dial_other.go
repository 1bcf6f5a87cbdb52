//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package main

import (
	"net/netip"
	"syscall"

	"sluice/reactor"
)

func sourceFor(netip.Addr, int, byte) netip.Addr { return netip.Addr{} }

// startConnect refuses: the reactor has no backend here.
func startConnect(netip.AddrPort, netip.Addr) (int, error) { return -1, reactor.ErrUnsupported }

func sourceControl(netip.Addr) func(network, address string, c syscall.RawConn) error { return nil }
