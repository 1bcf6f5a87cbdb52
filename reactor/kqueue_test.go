//go:build !plan9

package reactor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"sluice/reactor/internal/sys"
)

// scriptedKqueue answers from a script and writes down what it was asked, so that the kqueue
// backend is tested where there is no kqueue.
type scriptedKqueue struct {
	log     []string                  // what was asked since the last look
	refuse  func(c *sys.Kevent) error // refuses a change
	fetches []fetch                   // answers to waits, in order; then nothing is ready
	reads   []transfer                // answers to reads of the pipe, in order; then EAGAIN
	writes  []error                   // answers to writes to the pipe, in order; then all is taken
	opening map[string]error          // fails "kqueue" or "pipe"
	closed  []int
}

type fetch struct {
	events []sys.Kevent
	err    error
}

type transfer struct {
	n   int
	err error
}

// The descriptors of the scripted poller itself.
const (
	scriptedKq = 100 + iota
	scriptedR
	scriptedW
)

func (k *scriptedKqueue) Kqueue() (int, error)        { return scriptedKq, k.opening["kqueue"] }
func (k *scriptedKqueue) Pipe() (r, w int, err error) { return scriptedR, scriptedW, k.opening["pipe"] }

func (k *scriptedKqueue) Kevent(kq int, changes, events []sys.Kevent, msec int) (int, error) {
	if kq != scriptedKq {
		return 0, syscall.EBADF
	}
	if len(events) > 0 {
		k.log = append(k.log, fmt.Sprintf("wait %d", msec))
		if len(k.fetches) == 0 {
			return 0, nil
		}
		f := k.fetches[0]
		k.fetches = k.fetches[1:]
		return copy(events, f.events), f.err
	}
	k.log = append(k.log, "call")
	for i := range changes {
		k.log = append(k.log, changeWords(&changes[i]))
		if k.refuse == nil {
			continue
		}
		if err := k.refuse(&changes[i]); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func changeWords(c *sys.Kevent) string {
	s := "add"
	if c.Flags&sys.FlagDelete != 0 {
		s = "delete"
	}
	s += fmt.Sprintf(" %d %s", c.FD, [...]string{"read", "write"}[c.Filter])
	if c.Flags&sys.FlagClear != 0 {
		s += " clear"
	}
	if c.Flags&sys.FlagOneshot != 0 {
		s += " oneshot"
	}
	return s
}

func (k *scriptedKqueue) Read(fd int, p []byte) (int, error) {
	k.log = append(k.log, fmt.Sprintf("read %d", fd))
	if len(k.reads) == 0 {
		return -1, syscall.EAGAIN
	}
	r := k.reads[0]
	k.reads = k.reads[1:]
	return min(r.n, len(p)), r.err
}

func (k *scriptedKqueue) Write(fd int, p []byte) (int, error) {
	k.log = append(k.log, fmt.Sprintf("write %d", fd))
	if len(k.writes) == 0 {
		return len(p), nil
	}
	err := k.writes[0]
	k.writes = k.writes[1:]
	return 0, err
}

func (k *scriptedKqueue) Close(fd int) error {
	k.closed = append(k.closed, fd)
	return nil
}

func newScripted(t *testing.T) (*kqueueBackend, *scriptedKqueue) {
	t.Helper()
	k := &scriptedKqueue{}
	p, err := newKqueue(k)
	if err != nil {
		t.Fatal(err)
	}
	k.asked(t, "call", "add 101 read")
	return &p, k
}

// asked compares what the kernel was asked since the last look.
func (k *scriptedKqueue) asked(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(k.log, want) {
		t.Errorf("asked %q, want %q", k.log, want)
	}
	k.log = nil
}

// fetched waits for the given kevents and compares what comes out.
func (k *scriptedKqueue) fetched(t *testing.T, p *kqueueBackend, in []sys.Kevent, want ...Event) {
	t.Helper()
	k.fetches = append(k.fetches, fetch{events: in})
	got, err := p.Wait(make([]Event, 0, 8), time.Second)
	if err != nil {
		t.Error(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func readable(fd int) sys.Kevent { return sys.Kevent{FD: fd, Filter: sys.FilterRead} }
func writable(fd int) sys.Kevent { return sys.Kevent{FD: fd, Filter: sys.FilterWrite} }

func TestKqueueModesAreFlags(t *testing.T) {
	for mode, want := range map[Mode][]string{
		Edge:    {"call", "add 5 read clear", "add 5 write clear"},
		Level:   {"call", "add 5 read", "add 5 write"},
		Oneshot: {"call", "add 5 read oneshot", "add 5 write oneshot"},
	} {
		p, k := newScripted(t)
		p.Register(5, testKqToken, Readable|Writable, mode)
		k.asked(t, want...)
	}
}

const testKqToken Token = 9<<32 | 4

// A kernel may ignore an EV_ADD of a filter that exists, so rearming deletes first, all in one
// call.
func TestKqueueRearmDeletesThenAdds(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable, Edge)
	k.asked(t, "call", "add 5 read clear")
	p.Reregister(5, testKqToken, Readable|Writable, Edge)
	k.asked(t, "call", "delete 5 read", "add 5 read clear", "add 5 write clear")
	p.Reregister(5, testKqToken, Readable, Level)
	k.asked(t, "call", "delete 5 read", "delete 5 write", "add 5 read")
	p.Reregister(5, testKqToken, 0, Level)
	k.asked(t, "call", "delete 5 read")
	if err := p.Deregister(5); err != nil {
		t.Error(err)
	}
	k.asked(t)
}

func TestKqueueFiltersOfOneBatchAreOneEvent(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable|Writable, Edge)
	p.Register(6, testKqToken+1, Readable|Writable, Edge)
	k.fetched(t, p, []sys.Kevent{readable(5), writable(6), writable(5), readable(6)},
		Event{testKqToken, readyRead | readyWrite}, Event{testKqToken + 1, readyRead | readyWrite})
	k.fetched(t, p, []sys.Kevent{readable(5)}, Event{testKqToken, readyRead})
	k.fetched(t, p, []sys.Kevent{writable(5)}, Event{testKqToken, readyWrite})
}

func TestKqueueOneshotDeletesTheOtherFilter(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable|Writable, Oneshot)
	p.Register(6, testKqToken+1, Readable|Writable, Oneshot)
	p.Register(7, testKqToken+2, Readable|Writable, Edge)
	k.log = nil
	k.fetched(t, p, []sys.Kevent{writable(5), readable(6), writable(6), readable(7)},
		Event{testKqToken, readyWrite}, Event{testKqToken + 1, readyRead | readyWrite}, Event{testKqToken + 2, readyRead})
	k.asked(t, "wait 1000", "call", "delete 5 read")
	// What fired and what was silenced is gone: rearming only adds.
	p.Reregister(5, testKqToken, Readable|Writable, Oneshot)
	k.asked(t, "call", "add 5 read oneshot", "add 5 write oneshot")
	// The other filter may be gone by itself, with its descriptor.
	k.refuse = func(c *sys.Kevent) error { return syscall.EBADF }
	k.fetched(t, p, []sys.Kevent{readable(5)}, Event{testKqToken, readyRead})
}

func TestKqueueEndOfFile(t *testing.T) {
	reset := uint32(syscall.ECONNRESET)
	for _, c := range []struct {
		filter sys.Filter
		flags  uint16
		fflags uint32
		want   ready
	}{
		{sys.FilterRead, 0, 0, readyRead},
		{sys.FilterRead, sys.FlagEOF, 0, readyRead | readyHangup},
		{sys.FilterRead, sys.FlagEOF | sys.FlagClear, reset, readyRead | readyWrite | readyHangup | readyError},
		{sys.FilterRead, sys.FlagClear, 7, readyRead}, // fflags are an error only beside the end of file.
		{sys.FilterWrite, 0, 0, readyWrite},
		{sys.FilterWrite, sys.FlagEOF, 0, readyWrite}, // Our own shutdown looks like this.
		{sys.FilterWrite, sys.FlagEOF, reset, readyRead | readyWrite | readyHangup | readyError},
	} {
		p, k := newScripted(t)
		p.Register(5, testKqToken, Readable|Writable, Edge)
		k.fetched(t, p, []sys.Kevent{{FD: 5, Filter: c.filter, Flags: c.flags, Fflags: c.fflags}}, Event{testKqToken, c.want})
	}
}

func TestKqueueSignalEndsWaitQuietly(t *testing.T) {
	p, k := newScripted(t)
	dst := make([]Event, 1, 4)
	k.fetches = []fetch{{err: syscall.EINTR}, {err: syscall.EBADF}}
	if got, err := p.Wait(dst, -1); err != nil || len(got) != 1 {
		t.Errorf("%v, %v after a signal", got, err)
	}
	if _, err := p.Wait(dst, -1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("%v, want EBADF", err)
	}
}

// kevent(2): a signal interrupts the waiting; the changes have been made.
func TestKqueueSignalDuringChangesIsNoError(t *testing.T) {
	p, k := newScripted(t)
	k.refuse = func(*sys.Kevent) error { return syscall.EINTR }
	if err := p.Register(5, testKqToken, Readable, Edge); err != nil {
		t.Error(err)
	}
	k.asked(t, "call", "add 5 read clear")
}

func TestKqueueDeletingWhatIsGoneIsNoError(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable|Writable, Edge)
	k.log = nil
	k.refuse = func(c *sys.Kevent) error {
		if c.Flags&sys.FlagDelete != 0 && c.Filter == sys.FilterRead {
			return syscall.ENOENT
		}
		return nil
	}
	if err := p.Reregister(5, testKqToken, Readable, Edge); err != nil {
		t.Error(err)
	}
	// The kernel stopped at the first change; nothing behind it may be forgotten.
	k.asked(t, "call", "delete 5 read", "call", "delete 5 read", "call", "delete 5 write", "call", "add 5 read clear")
	if err := p.Deregister(5); err != nil {
		t.Error(err)
	}
}

func TestKqueueRefusedChangesAreErrors(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable, Edge)
	for _, c := range []struct {
		flag uint16
		err  error
	}{{sys.FlagAdd, syscall.ENOENT}, {sys.FlagAdd, syscall.ENOMEM}, {sys.FlagDelete, syscall.EBADF}} {
		k.refuse = func(ch *sys.Kevent) error {
			if ch.Flags&c.flag != 0 {
				return c.err
			}
			return nil
		}
		if err := p.Reregister(5, testKqToken, Readable, Edge); !errors.Is(err, c.err) {
			t.Errorf("%v, want %v", err, c.err)
		}
		k.refuse = nil
		if err := p.Reregister(5, testKqToken, Readable, Edge); err != nil {
			t.Errorf("after a refusal: %v", err)
		}
	}
}

func TestKqueueRefusedRegisterLeavesNothingBehind(t *testing.T) {
	p, k := newScripted(t)
	k.refuse = func(c *sys.Kevent) error {
		if c.Flags&sys.FlagAdd != 0 && c.Filter == sys.FilterWrite {
			return syscall.ENOMEM
		}
		return nil
	}
	if err := p.Register(5, testKqToken, Readable|Writable, Edge); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%v, want ENOMEM", err)
	}
	k.asked(t, "call", "add 5 read clear", "add 5 write clear", "call", "delete 5 read", "delete 5 write")
	k.fetched(t, p, []sys.Kevent{readable(5)}) // Even if the deletion had failed.
	k.refuse = nil
	if err := p.Register(5, testKqToken, Readable, Edge); err != nil {
		t.Error(err)
	}
}

func TestKqueueReusedDescriptorHasOnlyItsNewToken(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable, Edge)
	k.fetched(t, p, []sys.Kevent{readable(5)}, Event{testKqToken, readyRead})
	if err := p.Deregister(5); err != nil {
		t.Error(err)
	}
	k.fetched(t, p, []sys.Kevent{readable(5), readable(77)})
	fresh := makeToken(testKqToken.slot(), testKqToken.generation()+1)
	p.Register(5, fresh, Readable, Edge)
	k.fetched(t, p, []sys.Kevent{readable(5)}, Event{fresh, readyRead})
}

func TestKqueueWakeDrainsThePipe(t *testing.T) {
	p, k := newScripted(t)
	p.Register(5, testKqToken, Readable, Edge)
	k.log = nil
	k.reads = []transfer{{n: len(p.drained)}, {n: -1, err: syscall.EINTR}, {n: len(p.drained)}, {n: 1}, {n: 1}}
	k.fetched(t, p, []sys.Kevent{readable(scriptedR), readable(5)}, Event{testKqToken, readyRead})
	k.asked(t, "wait 1000", "read 101", "read 101", "read 101", "read 101") // A short read was the last of it.
	k.reads = []transfer{{n: len(p.drained)}}
	k.fetched(t, p, []sys.Kevent{readable(scriptedR)})
	k.asked(t, "wait 1000", "read 101", "read 101")
}

func TestKqueueWakeIntoAFullPipeIsNoError(t *testing.T) {
	p, k := newScripted(t)
	for _, c := range []struct{ answer, want error }{{syscall.EAGAIN, nil}, {syscall.EPIPE, syscall.EPIPE}} {
		k.writes = []error{c.answer}
		if err := p.Wake(); !errors.Is(err, c.want) {
			t.Errorf("%v after %v, want %v", err, c.answer, c.want)
		}
		k.asked(t, "write 102")
	}
}

// The byte is not in the pipe: a wake that ended here would be lost.
func TestKqueueWakeThatASignalInterruptsIsTriedAgain(t *testing.T) {
	p, k := newScripted(t)
	k.writes = []error{syscall.EINTR, syscall.EINTR}
	if err := p.Wake(); err != nil {
		t.Error(err)
	}
	k.asked(t, "write 102", "write 102", "write 102")
	k.writes = []error{syscall.EINTR, syscall.EINTR, syscall.EINTR, nil}
	if err := p.Wake(); !errors.Is(err, syscall.EINTR) {
		t.Errorf("%v after signals without end, want EINTR", err)
	}
	k.asked(t, "write 102", "write 102", "write 102")
}

func TestKqueueWaitRoundsItsTimeoutUp(t *testing.T) {
	p, k := newScripted(t)
	for timeout, want := range map[time.Duration]string{
		-1: "wait -1", 0: "wait 0", 1: "wait 1", time.Millisecond: "wait 1", time.Millisecond + 1: "wait 2",
		math.MaxInt64: "wait 2147483647",
	} {
		if _, err := p.Wait(make([]Event, 0, 1), timeout); err != nil {
			t.Error(err)
		}
		k.asked(t, want)
	}
	full := make([]Event, 2)
	if got, err := p.Wait(full, -1); err != nil || len(got) != 2 {
		t.Errorf("%v, %v without room", got, err)
	}
	k.asked(t)
}

func TestKqueueThatCannotOpenClosesWhatItOpened(t *testing.T) {
	for what, want := range map[string][]int{"kqueue": nil, "pipe": {scriptedKq}, "kevent": {scriptedW, scriptedR, scriptedKq}} {
		k := &scriptedKqueue{opening: map[string]error{what: syscall.EMFILE}}
		k.refuse = func(*sys.Kevent) error { return k.opening["kevent"] }
		if _, err := newKqueue(k); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%s: %v, want EMFILE", what, err)
		}
		if !slices.Equal(k.closed, want) {
			t.Errorf("%s: closed %v, want %v", what, k.closed, want)
		}
	}
}

// quietKqueue has the same event each time, and keeps no log.
type quietKqueue struct{ scriptedKqueue }

func (*quietKqueue) Kevent(_ int, _, events []sys.Kevent, _ int) (int, error) {
	return copy(events, []sys.Kevent{readable(5), readable(scriptedR)}), nil
}
func (*quietKqueue) Read(int, []byte) (int, error)  { return 1, nil }
func (*quietKqueue) Write(int, []byte) (int, error) { return 1, nil }

func TestKqueueDoesNotAllocate(t *testing.T) {
	p, err := newKqueue(&quietKqueue{})
	if err != nil {
		t.Fatal(err)
	}
	p.Register(5, testKqToken, Readable|Writable, Oneshot)
	dst := make([]Event, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		p.Wake()
		p.Wait(dst, 0)
		p.Reregister(5, testKqToken, Readable|Writable, Oneshot)
	}); n != 0 {
		t.Errorf("%v allocations to wake, wait and rearm", n)
	}
}
