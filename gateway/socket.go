package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/reactor"
)

const (
	keepIdle = 60 // seconds
	// userTimeoutAfter is how much later than any stall timeout the kernel itself gives up on a
	// client that acknowledges nothing, a closing one among them.
	userTimeoutAfter = 10 * time.Second
)

// openListener listens on an address of --listen: host:port, [v6]:port, :port or unix:/path. The
// returned net.Listener must stay open as long as its descriptor is used, and removes the socket
// file of a unix address when closed.
func (c *config) openListener(address string) ([]net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		l, err := c.listenUnix(path)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	if host, port, _ := net.SplitHostPort(address); strings.EqualFold(host, "localhost") {
		return c.listenLocalhost(port)
	}
	l, err := c.listenTCP(address)
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// OpenListeners opens an address as Server.Listen does, for a server of another kind: one listener,
// for localhost two. The mode and the group are a unix socket's, as in Options.
func OpenListeners(address string, mode fs.FileMode, group string) ([]net.Listener, error) {
	c := config{Options: Options{SocketMode: mode, SocketGroup: group}.Defaults()}
	var err error
	if c.socketGroup, err = groupID(group); err != nil {
		return nil, err
	}
	return c.openListener(address)
}

// listenLocalhost listens on both loopback addresses: net.Listen would take one of them, and a
// browser may try the other first. Nothing is looked up: in a container from scratch there is no
// file to find the name in.
func (c *config) listenLocalhost(port string) ([]net.Listener, error) {
	var all []net.Listener
	for _, ip := range []string{"127.0.0.1", "::1"} {
		l, err := c.listenTCP(net.JoinHostPort(ip, port))
		if err == nil {
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
			continue
		}
		isMissing := errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
		if len(all) == 0 && (ip == "::1" || !isMissing) {
			return nil, err
		}
	}
	return all, nil
}

// listenTCP listens without Multipath TCP, which Go would offer by default: a connection accepted
// from such a listener does not inherit TCP_NOTSENT_LOWAT, and the kernel then held megabytes for
// every client that does not read.
func (c *config) listenTCP(address string) (net.Listener, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	if c.ReusePort {
		plain.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			if cerr := raw.Control(func(fd uintptr) { err = reactor.SharePort(int(fd)) }); cerr != nil {
				return cerr
			}
			return err
		}
	}
	return plain.Listen(context.Background(), "tcp", address)
}

// descriptor duplicates the listener's descriptor for a loop, and sets the options that accepted
// connections inherit.
func (c *config) descriptor(l net.Listener, kernel reactor.Kernel) (int, error) {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if cerr := raw.Control(func(orig uintptr) { fd, err = reactor.Duplicate(int(orig)) }); cerr != nil {
		return -1, cerr
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate the listener: %w", err)
	}
	if isTCP(l) {
		c.setOptions(kernel, fd)
	}
	return fd, nil
}

func isTCP(l net.Listener) bool { return l.Addr().Network() == "tcp" }

// setOptions sets what every TCP connection should have. On Linux accepted connections inherit it
// from their listener, which saves five calls each; not every other system does so.
func (c *config) setOptions(kernel reactor.Kernel, fd int) {
	for _, o := range []struct {
		option reactor.Option
		value  int
	}{
		{reactor.NoDelay, 1}, // a message right behind another waited 44 ms for an acknowledgement
		{reactor.KeepAlive, 1},
		{reactor.KeepIdle, keepIdle},
		{reactor.NotSentLowat, int(c.UnsentBuffer)},
		{reactor.SendBuffer, int(c.SendBuffer)},
		{reactor.UserTimeout, int(min((c.stallMax() + userTimeoutAfter).Milliseconds(), math.MaxInt32))},
	} {
		if o.value > 0 {
			_ = kernel.SetOption(fd, o.option, o.value) // Each is an improvement; a system without one works without it.
		}
	}
}

// groupID is the number of a group, which may be given itself; negative: none is given.
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(id), nil
	}
	found, err := user.LookupGroup(group)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(found.Gid)
}
