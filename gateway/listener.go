package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"time"

	"sluice/reactor"
)

const (
	// acceptsPerTick bounds the connections taken in one tick, so that a storm of them leaves time
	// for those that are here. The listener is level-triggered: what is left is reported again.
	acceptsPerTick = 64
	// acceptRetry is how long accepting rests when descriptors or memory have run out, or the
	// listener is of no use. Interest is dropped meanwhile, or the listener would be reported at
	// every wait; an edge-triggered one would never be reported again.
	acceptRetry = 250 * time.Millisecond
	// acceptPause is how long it rests when as many connections as a tick takes have failed, and
	// not one did not: whoever makes connections fail is not to spin the loop, nor to keep the
	// others waiting for long.
	acceptPause = 50 * time.Millisecond

	keepIdle = 60 // seconds
	// userTimeoutAfter is how much later than any stall timeout the kernel itself gives up on a
	// client that acknowledges nothing, a closing one among them.
	userTimeoutAfter = 10 * time.Second
)

// A listener accepts connections on one loop and spreads them evenly over all.
type listener struct {
	w        *worker
	fd       int
	token    reactor.Token
	isTCP    bool
	isShared bool // somebody else has the socket too, and accepts from it when we do not
	speaks   ListenOptions
	next     int         // worker that gets the next connection, if no other has fewer
	taken    [][]arrival // accepted this tick, by worker

	failures  int  // of single connections, in a row
	isResting bool // until its timer fires
}

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

func (w *worker) newListener(fd int, isTCP, isShared bool, speaks ListenOptions) error {
	l := &listener{w: w, fd: fd, isTCP: isTCP, isShared: isShared, speaks: speaks, taken: make([][]arrival, len(w.server.workers))}
	t, err := w.loop.Register(fd, reactor.Readable, reactor.Level, l)
	l.token = t
	return err
}

// OnEvent implements reactor.Source.
func (l *listener) OnEvent(_ *reactor.Loop, ev reactor.Event) {
	switch {
	case ev.Timeout():
		l.isResting = false
		l.rearm(reactor.Readable)
	case l.isResting:
		return // A socket that was shut down has hung up for good, whatever it is watched for.
	}
	l.accept(acceptsPerTick)
	l.hand()
}

// accept takes up to n connections and reports whether the queue is empty.
func (l *listener) accept(n int) (empty bool) {
	for range n {
		fd, err := l.w.kernel.Accept(l.fd)
		switch {
		case err == nil:
			l.failures = 0
			l.admit(fd)
			continue
		case errors.Is(err, syscall.EAGAIN):
			l.failures = 0
			return true
		case isOfListener(err):
			l.rest(err, acceptRetry)
			return true
		}
		// The error of one connection, gone before it was taken (accept(2) "Error handling"): the
		// next may be fine.
		l.w.stats.AcceptFailed++
		if l.failures++; l.failures >= acceptsPerTick {
			l.rest(err, acceptPause)
			return true
		}
	}
	return false
}

// isOfListener reports whether accepting failed for a reason that the next connection has as well:
// nothing is left of something, or the listener is none.
func isOfListener(err error) bool {
	for _, of := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EFAULT,
	} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

func (l *listener) rest(err error, pause time.Duration) {
	l.failures, l.isResting = 0, true
	l.w.stats.AcceptPaused++
	if skipped, ok := l.w.server.samples.unaccepted.Take(l.w.kernel.Now()); ok {
		l.w.log.Warn("cannot accept connections, trying again shortly", "error", err, "and_more", skipped)
	}
	l.rearm(0)
	l.w.loop.SetTimer(l.token, pause)
}

func (l *listener) rearm(in reactor.Interest) {
	if err := l.w.loop.Rearm(l.token, in); err != nil {
		if skipped, ok := l.w.server.samples.unarmed.Take(l.w.kernel.Now()); ok {
			l.w.log.Error("cannot rearm the listener, trying again shortly", "error", err, "and_more", skipped)
		}
		l.w.loop.SetTimer(l.token, acceptRetry) // Or it would stay deaf.
	}
}

func (l *listener) admit(fd int) {
	key := l.keyOf(fd)
	if reason := l.w.server.admit(key, l.w.kernel.Now()); reason != 0 {
		l.reject(fd, reason)
		return
	}
	if l.isTCP && runtime.GOOS != "linux" {
		l.w.cfg.setOptions(l.w.kernel, fd)
	}
	to := l.w.server.emptiest(l.next)
	to.conns.Add(1)
	l.taken[to.no] = append(l.taken[to.no], arrival{fd: fd, key: key, speaks: l.speaks})
	l.next = (to.no + 1) % len(l.taken)
}

// keyOf is whom a connection counts for; the kernel is asked only if a limit wants to know. Who is
// gone already counts for nobody.
func (l *listener) keyOf(fd int) (key netip.Addr) {
	a := l.w.server.admission
	if !l.isTCP || !a.asks() {
		return key
	}
	if from, err := l.w.kernel.PeerAddress(fd); err == nil && a.counts(from) {
		key = addressKey(from)
	}
	return key
}

// hand gives each worker its share of what was accepted, in one task. A worker whose mailbox is
// full is overloaded: its share stays here.
func (l *listener) hand() {
	for i, taken := range l.taken {
		if len(taken) == 0 {
			continue
		}
		other := l.w.server.workers[i]
		l.taken[i] = nil
		if other != l.w && other.loop.Post(func(*reactor.Loop) { other.adopt(taken) }) {
			continue
		}
		other.conns.Add(-int64(len(taken)))
		l.w.conns.Add(int64(len(taken)))
		l.w.adopt(taken)
	}
}
