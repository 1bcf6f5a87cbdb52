package reactor

import (
	"errors"
	"math"
	"strings"
	"time"

	"sluice/reactor/internal/sys"
)

// Kernel is the seam for system calls and the clock; package reactortest has a scripted one.
type Kernel = sys.Calls

// ErrUnsupported is what NewPoller returns on a system without epoll and kqueue.
var ErrUnsupported = sys.ErrUnsupported

// ErrClosed says that a loop has ended, or that a token's source has.
var ErrClosed = errors.New("reactor: closed")

// Interest is what a source asks to be told.
type Interest uint8

// Readable and Writable may be combined. With neither, only errors and hangups are reported, as the
// kernel sees fit.
const (
	Readable Interest = 1 << iota
	Writable
)

// Mode is how often a condition is reported.
type Mode uint8

const (
	// Edge reports a change once. The source that gets the event reads or writes until there is no
	// more, or remembers that it did not.
	Edge Mode = iota
	// Level reports a condition at each Wait for as long as it lasts.
	Level
	// Oneshot reports one event and is then silent until Reregister.
	Oneshot
)

// An Event tells what a source is ready for. It is a hint: the system call decides.
type Event struct {
	Token Token
	ready ready
}

type ready uint8

const (
	readyRead ready = 1 << iota
	readyWrite
	readyHangup
	readyError
	readyTimeout
	readyAgain
)

// Readable says that a read will not block: there are bytes, the end of the stream, or an error to
// fetch.
func (e Event) Readable() bool { return e.ready&readyRead != 0 }

// Writable says that a write will not block: there is room, or an error to fetch.
func (e Event) Writable() bool { return e.ready&readyWrite != 0 }

// Hangup says that the peer will send no more. Bytes sent before may still wait to be read, and
// after a half-close the peer may still be reading.
func (e Event) Hangup() bool { return e.ready&readyHangup != 0 }

// Error says that the descriptor has a pending error; the next read or write returns it.
func (e Event) Error() bool { return e.ready&readyError != 0 }

// Timeout says that the source's timer fired. Only a Loop makes such events.
func (e Event) Timeout() bool { return e.ready&readyTimeout != 0 }

// Again says that this is the visit that the source asked for with Requeue or RequeueCostly. Only a
// Loop makes such events.
func (e Event) Again() bool { return e.ready&readyAgain != 0 }

// String names the token and what is ready, for logs and tests.
func (e Event) String() string {
	words := []string{e.Token.String()}
	for i, word := range []string{"readable", "writable", "hangup", "error", "timeout", "again"} {
		if e.ready&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// A Poller is one epoll or kqueue instance. It knows descriptors and tokens, nothing else; no Go
// pointer enters the kernel. All methods but Wake belong to one goroutine. The contract below is
// what every backend meets and what TestPoller holds them to:
//
//   - Register watches fd, which must be non-blocking. A condition that already holds is reported.
//   - Reregister replaces token, interest and mode, and looks at the readiness anew: a condition
//     that holds at that moment is reported even if its edge has passed. That is what makes
//     rearming after a refused write free of races.
//   - Deregister forgets fd; events already fetched may still carry its token. Closing fd first is
//     wrong.
//   - Wait appends events to dst, at most its spare capacity (which must not be zero), waiting no
//     longer than timeout, rounded up to the backend's unit, so that it never returns early;
//     negative waits without bound, zero not at all. A signal (EINTR) ends the wait without events
//     and without error.
//   - Wake, from any goroutine, ends the present or the next Wait. Calls before it coalesce.
type Poller struct {
	backend
}

// NewPoller opens a poller on the real kernel. It returns ErrUnsupported on systems without epoll
// and kqueue.
func NewPoller() (*Poller, error) { return newPoller(sys.Real{}) }

// milliseconds rounds a timeout up, so that nobody wakes before its time and spins, and clamps it
// to what the kernel takes. Negative means no bound.
func milliseconds(timeout time.Duration) int {
	if timeout < 0 {
		return -1
	}
	if timeout > math.MaxInt32*time.Millisecond {
		return math.MaxInt32
	}
	return int((timeout + time.Millisecond - 1) / time.Millisecond)
}
