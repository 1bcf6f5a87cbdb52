package reactortest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"sluice/reactor/internal/sys"
)

// firstFD is the lowest number a descriptor gets: those below are taken by the standard streams.
const firstFD = 3

// Faults say how often a Sim does what a program must be ready for, in times out of a thousand. The
// zero value is a kernel without faults.
type Faults struct {
	ShortRead     int // a read takes less than has arrived; the rest is news, as though it came behind the read
	ShortWrite    int // a write takes less than there is room for, and no edge follows: the socket stays writable
	Squeeze       int // a write finds the buffer's room shrunk, perhaps to nothing, until Step
	Interrupt     int // EINTR, of reads, writes, accepts and waits
	Late          int // an event is held back until a later wait
	Spurious      int // at a wait, a registered descriptor is reported ready without being so
	Stale         int // a registration that is removed is reported once more
	Accept        int // accept fails, one half for a broken connection, one for want of memory or descriptors
	Watch         int // EPOLL_CTL_ADD or MOD fails
	NoMemory      int // a read or write fails with ENOMEM or ENOBUFS
	RingFails     int // a ring's whole batch is refused, for the moment or for good
	RingShort     int // only the first sends of a batch are begun
	RingLate      int // a send of a batch does not end within the call, as Linux has it only of sockets that block
	Slow          int // a call takes up to SlowBy
	SlowBy        time.Duration
	DescriptorMax int // descriptors open at a time; zero: no limit
}

// Buffers are the sizes of a connection's buffers in bytes, from the side that accepts it. Each of
// the four must be positive.
type Buffers struct {
	Send, PeerReceive int // of what is written to it
	PeerSend, Receive int // of what it reads
	Unsent            int // what may wait in Send that was not sent; zero: all of it
}

// file is what a descriptor leads to.
type file interface {
	poll() uint32 // the conditions that hold, as poll(2) would say
	watchers() *[]*watch
}

// A Sim is a kernel in memory; see the package comment. It is not safe for concurrent use: whatever
// runs on it takes turns.
type Sim struct {
	random  *rand.Rand
	now     time.Duration
	files   []file // by descriptor
	faults  Faults
	buffers Buffers
	isCalm  bool
	links   []*link
	busy    []*flow // those under way, at the last Step
	linkNo  int
	actor   int // the poller whose loop runs, or zero
	onCall  func()
	onSleep func(epfd int, until time.Duration)
	trace   trace
	errs    []error
	stale   map[int]int // by poller: stale events reported

	rings      map[*sys.Ring]bool // that are open
	hasNoRings bool
	late       []lateSend
}

// NewSim returns a calm kernel whose every choice comes from seed.
func NewSim(seed uint64) *Sim {
	s := &Sim{random: rand.New(rand.NewPCG(seed, 0x51c)), isCalm: true, stale: map[int]int{}, rings: map[*sys.Ring]bool{}}
	s.buffers = Buffers{Send: 64 << 10, PeerReceive: 64 << 10, PeerSend: 64 << 10, Receive: 64 << 10}
	s.files = make([]file, firstFD)
	return s
}

// SetFaults makes the kernel mean: faults strike as often as f says, and the wire moves only by
// Step.
func (s *Sim) SetFaults(f Faults) { s.faults, s.isCalm = f, false }

// SetBuffers sets the sizes for connections made from here on.
func (s *Sim) SetBuffers(b Buffers) { s.buffers = b }

// Calm ends all faults: what was shrunk, held back or under way arrives, and from here on
// everything moves at once.
func (s *Sim) Calm() {
	s.faults, s.isCalm = Faults{}, true
	for len(s.late) > 0 {
		s.endLate()
	}
	for _, l := range slices.Clone(s.links) {
		s.settle(l)
	}
}

// OnCall sets the hook that may hand control to another coroutine. It is called around calls that
// are never made with a lock held: accept, read, write, shutdown and epoll_ctl.
func (s *Sim) OnCall(hook func()) { s.onCall = hook }

// OnSleep sets the hook that a wait calls when it has nothing to report. It hands control to others
// and returns when Ready may have changed or the clock has reached until. Without it waits return
// at once, as though interrupted by nothing.
func (s *Sim) OnSleep(hook func(epfd int, until time.Duration)) { s.onSleep = hook }

// SetActor says which poller's loop runs from here on; zero is nobody in particular.
func (s *Sim) SetActor(epfd int) { s.actor = epfd }

// Advance moves the clock on.
func (s *Sim) Advance(d time.Duration) { s.now += d }

// Now implements reactor.Kernel.
func (s *Sim) Now() time.Duration { return s.now }

// Err returns the calls that nobody should have made, joined, or nil.
func (s *Sim) Err() error { return errors.Join(s.errs...) }

// Open is how many descriptors are open.
func (s *Sim) Open() int {
	n := 0
	for _, f := range s.files {
		if f != nil {
			n++
		}
	}
	return n
}

// Stale is how many events of removed registrations a poller was given.
func (s *Sim) Stale(epfd int) int { return s.stale[epfd] }

// Condition tells whether fd is readable and writable at this moment. It changes nothing.
func (s *Sim) Condition(fd int) (readable, writable bool) {
	c, ok := s.file(fd).(*socket)
	if !ok {
		return false, false
	}
	return c.isReadable(), c.isWritable()
}

// LinkNo is the number of the connection that fd is the server's end of, or zero.
func (s *Sim) LinkNo(fd int) int {
	if c, ok := s.file(fd).(*socket); ok {
		return c.link.no
	}
	return 0
}

// IsRegistered reports whether fd is open and registered with the poller epfd under the user data
// of two halves.
func (s *Sim) IsRegistered(epfd, fd int, low, high uint32) bool {
	f := s.file(fd)
	if f == nil {
		return false
	}
	for _, w := range *f.watchers() {
		if w.ep.fd == epfd && uint32(w.low) == low && uint32(w.high) == high {
			return true
		}
	}
	return false
}

// Watchers is how many pollers, or how often one, fd is registered with.
func (s *Sim) Watchers(fd int) int {
	if f := s.file(fd); f != nil {
		return len(*f.watchers())
	}
	return 0
}

func (s *Sim) file(fd int) file {
	if fd < 0 || fd >= len(s.files) {
		return nil
	}
	return s.files[fd]
}

// open gives f the lowest free number, as POSIX demands (open(2): "the lowest-numbered file
// descriptor not currently open").
func (s *Sim) open(f file) (int, error) {
	if s.faults.DescriptorMax > 0 && s.Open() >= s.faults.DescriptorMax {
		return -1, syscall.EMFILE
	}
	for fd := firstFD; fd < len(s.files); fd++ {
		if s.files[fd] == nil {
			s.files[fd] = f
			return fd, nil
		}
	}
	s.files = append(s.files, f)
	return len(s.files) - 1, nil
}

// violation notes a call that nobody should have made. Only the first few tell anything.
func (s *Sim) violation(format string, args ...any) {
	if len(s.errs) < 10 {
		s.errs = append(s.errs, fmt.Errorf(format, args...))
	}
}

// Close implements reactor.Kernel.
func (s *Sim) Close(fd int) error {
	f := s.file(fd)
	if f == nil {
		s.violation("close of descriptor %d, which is not open", fd)
		return s.done("close", fd, 0, 0, syscall.EBADF)
	}
	if ws := *f.watchers(); len(ws) > 0 {
		if _, ok := f.(*eventFile); !ok { // A poller closes its own together with itself.
			s.violation("close of descriptor %d while it is registered", fd)
		}
		for _, w := range ws {
			w.ep.forget(w)
		}
		*f.watchers() = nil
	}
	s.files[fd] = nil
	s.done("close", fd, 0, 0, nil) // Before its consequences.
	switch f := f.(type) {
	case *socket:
		f.release()
		s.settle(f.link)
	case *listening:
		f.shut()
	case *epoll:
		f.shut()
	}
	return nil
}

// roll decides whether something that happens n times out of a thousand happens now.
func (s *Sim) roll(perMille int) bool { return perMille > 0 && s.random.IntN(1000) < perMille }

// begin is the start of a call that may be preempted. It takes time.
func (s *Sim) begin() {
	if s.onCall != nil {
		s.onCall()
	}
	if s.roll(s.faults.Slow) {
		s.now += time.Duration(1 + s.random.Int64N(max(1, int64(s.faults.SlowBy))))
	}
}

// finish is the end of such a call on fd.
func (s *Sim) finish(fd int) {
	if c, ok := s.file(fd).(*socket); ok {
		s.settle(c.link)
	}
	if s.onCall != nil {
		s.onCall()
	}
}

// foreign notes a call on a descriptor that another poller's loop owns.
func (s *Sim) foreign(name string, f file, fd int) {
	for _, w := range *f.watchers() {
		if s.actor != 0 && w.ep.fd != s.actor {
			s.violation("%s on descriptor %d by the loop of poller %d, but poller %d's loop owns it", name, fd, s.actor, w.ep.fd)
		}
	}
}

// socketAt returns the socket that a call is for.
func (s *Sim) socketAt(name string, fd int) (*socket, error) {
	f := s.file(fd)
	if f == nil {
		s.violation("%s on descriptor %d, which is not open", name, fd)
		return nil, syscall.EBADF
	}
	c, ok := f.(*socket)
	if !ok {
		s.violation("%s on descriptor %d, which is no connection", name, fd)
		return nil, syscall.ENOTSOCK
	}
	s.foreign(name, f, fd)
	return c, nil
}

// SetOption implements reactor.Kernel.
func (s *Sim) SetOption(fd int, o sys.Option, value int) error {
	if _, ok := s.file(fd).(*listening); ok {
		return nil
	}
	c, err := s.socketAt("setsockopt", fd)
	if err == nil && o == sys.AbortOnClose {
		c.aborts = value != 0
	}
	return s.done("setsockopt", fd, int(o), value, err)
}

// Option implements reactor.Kernel. It knows PendingError; the others have no effect here.
func (s *Sim) Option(fd int, o sys.Option) (int, error) {
	c, err := s.socketAt("getsockopt", fd)
	if err != nil || o != sys.PendingError {
		return 0, err
	}
	return int(c.takeError()), nil
}

// PeerAddress implements reactor.Kernel. The simulation's peers are on the same machine.
func (s *Sim) PeerAddress(fd int) (netip.Addr, error) {
	_, err := s.socketAt("getpeername", fd)
	return netip.IPv6Loopback(), err
}

// deadline is when a wait of msec milliseconds ends.
func (s *Sim) deadline(msec int) time.Duration {
	if msec < 0 {
		return math.MaxInt64
	}
	return s.now + time.Duration(msec)*time.Millisecond
}
