// Package sys is the seam between Sluice and the operating system: every system call of the reactor
// and of connections, and the clock, go through Calls.
//
// The real implementation has no state; package reactortest has a scripted one. One indirect call
// is nothing beside the call it stands for (BenchmarkSeam in package reactor measures it).
package sys

import (
	"errors"
	"net/netip"
	"time"
)

// ErrUnsupported says that this system has no such call or option.
var ErrUnsupported = errors.New("not supported on this system")

// Calls is what the reactor and its connections ask of a kernel. Descriptors are non-blocking.
// Errors are plain syscall.Errno values, never wrapped, so that EAGAIN costs nothing to compare. No
// method blocks except the poller's wait with a timeout other than zero.
type Calls interface {
	// Now is the monotonic time since an arbitrary start.
	Now() time.Duration

	// Accept takes one connection from a listening descriptor, as accept4(2) with SOCK_NONBLOCK and
	// SOCK_CLOEXEC.
	Accept(fd int) (int, error)
	// Read takes what has arrived: recvfrom(2) on Linux, read(2) elsewhere. Zero bytes and no error
	// is the end of the stream. With an error the count is zero, as Write's is.
	Read(fd int, p []byte) (int, error)
	// Write is write(2) to a socket; it never raises SIGPIPE.
	Write(fd int, p []byte) (int, error)
	// SendRing hands the kernel the whole batch in one call. It returns how many of the sends, the
	// first ones, it has begun, and of how many it says in done, in any order, what came of them;
	// done has room for all. An error says that none has begun. Of a send that has begun, and of
	// which done says nothing, the kernel may read the bytes at any time to come.
	SendRing(r *Ring, batch []Send, done []Completion) (begun, completed int, err error)
	// OpenRing makes a ring for batches of at most n sends, a power of two. It fails where the
	// system has no such thing, forbids it, or does not say of each send within the call what came
	// of it.
	OpenRing(n int) (*Ring, error)
	// CloseRing gives back a ring's memory and its descriptor.
	CloseRing(r *Ring)
	// CloseWrite is shutdown(2) with SHUT_WR.
	CloseWrite(fd int) error
	// Close is close(2). The descriptor is gone whatever it returns.
	Close(fd int) error
	// SetOption sets a socket option, or returns ErrUnsupported where the system has none of that
	// meaning.
	SetOption(fd int, o Option, value int) error
	// Option reads a socket option.
	Option(fd int, o Option) (int, error)
	// Queued is how much the kernel has not got rid of that was written to a connection. Of TCP it
	// is the bytes that the peer's end has not acknowledged, sent or not; of a unix socket on Linux
	// it is the memory that those take which the peer has not read. ErrUnsupported where the system
	// does not tell.
	Queued(fd int) (int, error)
	// PeerAddress is getpeername(2): the other end's, an IPv4 address never in IPv6's form. The
	// zero Addr is a peer without one, as those of unix sockets are. ENOTCONN says that the peer is
	// gone; macOS says EINVAL.
	PeerAddress(fd int) (netip.Addr, error)

	pollCalls
}

// An Option is a socket option in words that mean the same on every system.
type Option int

// The options a connection uses; values are in the unit named here.
const (
	NoDelay         Option = iota // TCP_NODELAY: 0 or 1
	KeepAlive                     // SO_KEEPALIVE: 0 or 1
	KeepIdle                      // TCP_KEEPIDLE: seconds
	NotSentLowat                  // TCP_NOTSENT_LOWAT: bytes
	UserTimeout                   // TCP_USER_TIMEOUT: milliseconds
	SendBuffer                    // SO_SNDBUF: bytes
	AbortOnClose                  // SO_LINGER with zero seconds: close(2) sends RST and frees the buffers
	PendingError                  // SO_ERROR, read only: reading clears it
	ReusePort                     // SO_REUSEPORT where it spreads connections: 0 or 1
	optionsPerTable               // number of options
)
