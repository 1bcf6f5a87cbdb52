package dial

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// clientsPerSource is how many clients share a source address. One address has some 28,000 ports to
// one destination (ip(7), ip_local_port_range), fewer while those of the last run are in TIME-WAIT.
const clientsPerSource = 8192

// Source spreads the clients of a target on loopback over 127.0.0.0/8, all of which is this machine
// on Linux: client, from 0, is its number in the run. salt differs between runs, so that they do
// not meet each other's ports. Where the kernel should choose, the address is not valid.
func Source(to netip.Addr, client int, salt byte) netip.Addr {
	if !to.Is4() || !to.IsLoopback() {
		return netip.Addr{}
	}
	block := client/clientsPerSource + 1
	return netip.AddrFrom4([4]byte{127, 1 + salt%250, byte(block >> 8), byte(block)})
}

// bindSource binds to an address without taking a port: connect(2) then picks one that is free for
// this destination.
func bindSource(fd int, source netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0)))
}

// Control makes a net.Dialer connect from source. It is nil, which a net.Dialer takes, if source is
// not valid.
func Control(source netip.Addr) func(network, address string, c syscall.RawConn) error {
	if !source.IsValid() {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = bindSource(int(fd), source) }), err)
	}
}
