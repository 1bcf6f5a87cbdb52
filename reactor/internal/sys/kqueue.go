package sys

// KqueueCalls is what the kqueue backend asks of a kernel. On kqueue systems it is part of Calls;
// elsewhere only tests implement it, so that the backend is driven on every system.
type KqueueCalls interface {
	Read(fd int, p []byte) (int, error)
	Write(fd int, p []byte) (int, error)
	Close(fd int) error

	// Kqueue makes a kqueue(2).
	Kqueue() (int, error)
	// Kevent is kevent(2): it applies changes in order, then waits msec milliseconds for events;
	// zero does not wait, -1 waits without bound. Without room for events it stops at the first
	// change that fails and returns its error.
	Kevent(kq int, changes, events []Kevent, msec int) (int, error)
	// Pipe makes a pipe of two non-blocking descriptors.
	Pipe() (r, w int, err error)
}

// A Kevent is one change or event of kevent(2), in types that are the same on every system.
type Kevent struct {
	FD     int
	Filter Filter
	Flags  uint16
	Fflags uint32 // with FlagEOF: the socket's error, or zero
}

// A Filter is what kevent(2) watches a descriptor for. The systems number theirs differently.
type Filter uint8

// The filters in use.
const (
	FilterRead  Filter = iota // EVFILT_READ
	FilterWrite               // EVFILT_WRITE
)

// The flags in use. All systems with kqueue have the same values, which real_kqueue.go holds the
// compiler to.
const (
	FlagAdd     = 0x1    // EV_ADD
	FlagDelete  = 0x2    // EV_DELETE
	FlagOneshot = 0x10   // EV_ONESHOT: the filter is deleted when its event is fetched
	FlagClear   = 0x20   // EV_CLEAR: edges
	FlagEOF     = 0x8000 // EV_EOF
)
