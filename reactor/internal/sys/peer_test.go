//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package sys

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPeerAddressIsTheOtherEnds(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			want := netip.MustParseAddr(host)
			l := listenOn(t, want)
			addr, err := unix.Getsockname(l)
			must(t, err)
			if _, err := (Real{}).PeerAddress(l); !errors.Is(err, syscall.ENOTCONN) {
				t.Errorf("of a listener: %v, want ENOTCONN", err)
			}
			client, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
			if want.Is4() {
				client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			}
			must(t, err)
			defer unix.Close(client)
			must(t, unix.Connect(client, addr))
			accepted, err := acceptSoon(l)
			must(t, err)
			defer unix.Close(accepted)
			if got, err := (Real{}).PeerAddress(accepted); err != nil || got != want.Unmap() {
				t.Errorf("got %v, %v; want %v", got, err, want.Unmap())
			}
		})
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	if got, err := (Real{}).PeerAddress(ends[0]); err != nil || got.IsValid() {
		t.Errorf("of a unix socket: %v, %v; want none", got, err)
	}
}

// listenOn listens at host, in the family that its form is of: an IPv4 address in IPv6's form makes
// a socket of both.
func listenOn(t *testing.T, host netip.Addr) int {
	t.Helper()
	family, at := unix.AF_INET, unix.Sockaddr(nil)
	if host.Is4() {
		at = &unix.SockaddrInet4{Addr: host.As4()}
	} else {
		family, at = unix.AF_INET6, &unix.SockaddrInet6{Addr: host.As16()}
	}
	l, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Skipf("this machine has no socket for %v: %v", host, err)
	}
	t.Cleanup(func() { unix.Close(l) })
	must(t, unix.SetNonblock(l, true))
	if host.Is4In6() {
		if err := unix.SetsockoptInt(l, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			t.Skipf("this system keeps the families apart: %v", err)
		}
	}
	if err := unix.Bind(l, at); err != nil {
		t.Skipf("this machine has no %v: %v", host, err)
	}
	must(t, unix.Listen(l, 8))
	return l
}
