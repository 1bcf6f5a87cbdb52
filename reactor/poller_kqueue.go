//go:build !plan9

package reactor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"sluice/reactor/internal/sys"
)

// kqueueBackend is kqueue(2). It reaches the kernel through sys.KqueueCalls only, so it builds
// wherever errors have their Unix names (Plan 9 alone has others), and a fake kernel drives it
// where there is no real one.
//
// kqueue watches pairs of descriptor and filter, so one source has up to two, which come and go
// together here. A source is found by its descriptor: the user data of a kevent is typed as a Go
// pointer, which must not lie in the kernel. That is sound because kevents are translated as soon
// as they are fetched, and a descriptor is deregistered before it closes.
type kqueueBackend struct {
	kernel  sys.KqueueCalls
	kq      int
	wakeR   int
	wakeW   int
	watches []watch // by descriptor
	batch   uint64  // number of the present Wait
	events  []sys.Kevent
	changes []sys.Kevent // scratch
	drained [256]byte    // scratch
}

var wakeByte = []byte{1}

// A watch is what one descriptor is registered for.
type watch struct {
	token Token
	batch uint64   // the Wait that last reported the descriptor …
	place int      // … and where it put the event
	armed Interest // filters that the kernel has now; a oneshot filter vanishes when it fires
	mode  Mode
	live  bool
}

func newKqueue(kernel sys.KqueueCalls) (kqueueBackend, error) {
	kq, err := kernel.Kqueue()
	if err != nil {
		return kqueueBackend{}, fmt.Errorf("reactor: new poller: %w", os.NewSyscallError("kqueue", err))
	}
	r, w, err := kernel.Pipe()
	if err != nil {
		kernel.Close(kq)
		return kqueueBackend{}, fmt.Errorf("reactor: new poller: %w", os.NewSyscallError("pipe", err))
	}
	p := kqueueBackend{kernel: kernel, kq: kq, wakeR: r, wakeW: w}
	// Not for edges: should a byte ever be left in the pipe, the next Wait sees it too.
	if err := p.change(filters(nil, r, Readable, sys.FlagAdd)); err != nil {
		p.Close()
		return kqueueBackend{}, fmt.Errorf("reactor: new poller: %w", os.NewSyscallError("kevent", err))
	}
	return p, nil
}

// Register starts watching fd.
func (p *kqueueBackend) Register(fd int, t Token, in Interest, m Mode) error {
	if fd < 0 {
		return kqueueError("register", fd, syscall.EBADF)
	}
	if p.watched(fd) != nil {
		return kqueueError("register", fd, syscall.EEXIST)
	}
	if grow := fd + 1 - len(p.watches); grow > 0 {
		p.watches = append(p.watches, make([]watch, grow)...)
	}
	p.watches[fd] = watch{live: true}
	if err := p.arm(fd, t, in, m); err != nil {
		p.watches[fd] = watch{}
		return kqueueError("register", fd, err)
	}
	return nil
}

// Reregister replaces what fd is watched for and looks at its readiness anew.
func (p *kqueueBackend) Reregister(fd int, t Token, in Interest, m Mode) error {
	if p.watched(fd) == nil {
		return kqueueError("reregister", fd, syscall.ENOENT)
	}
	return kqueueError("reregister", fd, p.arm(fd, t, in, m))
}

// Deregister stops watching fd.
func (p *kqueueBackend) Deregister(fd int) error {
	w := p.watched(fd)
	if w == nil {
		return kqueueError("deregister", fd, syscall.ENOENT)
	}
	p.changes = filters(p.changes[:0], fd, w.armed, sys.FlagDelete)
	err := p.change(p.changes)
	*w = watch{}
	return kqueueError("deregister", fd, err)
}

func (p *kqueueBackend) watched(fd int) *watch {
	if fd < 0 || fd >= len(p.watches) || !p.watches[fd].live {
		return nil
	}
	return &p.watches[fd]
}

// arm deletes the filters fd has and adds those it shall have. Adding anew is what makes every
// kernel look at the readiness again: EV_ADD of a filter that exists does so on some systems only,
// and on some does not change EV_CLEAR.
func (p *kqueueBackend) arm(fd int, t Token, in Interest, m Mode) error {
	w := &p.watches[fd]
	p.changes = filters(p.changes[:0], fd, w.armed, sys.FlagDelete)
	p.changes = filters(p.changes, fd, in, addFlags(m))
	w.token, w.mode, w.armed = t, m, in
	err := p.change(p.changes)
	if err != nil {
		// Whatever was added must not report to a token that the caller believes refused; it may
		// fail for the same reason.
		_ = p.change(filters(nil, fd, Readable|Writable, sys.FlagDelete))
		w.armed = 0
	}
	return err
}

func addFlags(m Mode) uint16 {
	switch m {
	case Edge:
		return sys.FlagAdd | sys.FlagClear
	case Oneshot:
		return sys.FlagAdd | sys.FlagOneshot // Not EV_DISPATCH: older NetBSD has none.
	default:
		return sys.FlagAdd
	}
}

// filters appends a change of fd's filter for each interest.
func filters(dst []sys.Kevent, fd int, in Interest, flags uint16) []sys.Kevent {
	if in&Readable != 0 {
		dst = append(dst, sys.Kevent{FD: fd, Filter: sys.FilterRead, Flags: flags})
	}
	if in&Writable != 0 {
		dst = append(dst, sys.Kevent{FD: fd, Filter: sys.FilterWrite, Flags: flags})
	}
	return dst
}

// change applies changes in one call. The kernel stops at the first that fails; if that was a
// delete of a filter that is not there, nothing is wrong but the rest has yet to be done. It does
// not say which one it was, so all are sent again one by one: deleting and adding twice comes to
// the same.
func (p *kqueueBackend) change(changes []sys.Kevent) error {
	if len(changes) == 0 {
		return nil
	}
	err := p.send(changes)
	if !errors.Is(err, syscall.ENOENT) {
		return err
	}
	for i := range changes {
		err := p.send(changes[i : i+1])
		if err != nil && (changes[i].Flags&sys.FlagDelete == 0 || !errors.Is(err, syscall.ENOENT)) {
			return err
		}
	}
	return nil
}

func (p *kqueueBackend) send(changes []sys.Kevent) error {
	_, err := p.kernel.Kevent(p.kq, changes, nil, 0)
	if errors.Is(err, syscall.EINTR) {
		return nil // kevent(2): all changes have been applied by then.
	}
	return err
}

// Wait appends events to dst; see Poller. Both filters of a descriptor that come in one batch are
// one Event.
func (p *kqueueBackend) Wait(dst []Event, timeout time.Duration) ([]Event, error) {
	room := cap(dst) - len(dst)
	if room == 0 {
		return dst, nil
	}
	if len(p.events) < room {
		p.events = make([]sys.Kevent, room)
	}
	n, err := p.kernel.Kevent(p.kq, nil, p.events[:room], milliseconds(timeout))
	if err != nil {
		if errors.Is(err, syscall.EINTR) {
			return dst, nil
		}
		return dst, fmt.Errorf("reactor: wait: %w", os.NewSyscallError("kevent", err))
	}
	p.batch++
	for i := range p.events[:n] {
		dst = p.translate(dst, &p.events[i])
	}
	p.silenceOneshots(p.events[:n])
	return dst, nil
}

func (p *kqueueBackend) translate(dst []Event, ev *sys.Kevent) []Event {
	if ev.FD == p.wakeR {
		p.drainWakes()
		return dst
	}
	w := p.watched(ev.FD)
	if w == nil {
		return dst // Its deletion failed, and nobody is left to report to.
	}
	if w.mode == Oneshot {
		w.armed &^= filterInterest(ev.Filter)
	}
	if w.batch == p.batch {
		dst[w.place].ready |= kqueueReady(ev)
		return dst
	}
	w.batch, w.place = p.batch, len(dst)
	return append(dst, Event{Token: w.token, ready: kqueueReady(ev)})
}

// silenceOneshots deletes the other filter of each oneshot source that was reported: the kernel
// silences filters, and the contract speaks of sources.
func (p *kqueueBackend) silenceOneshots(events []sys.Kevent) {
	p.changes = p.changes[:0]
	for i := range events {
		w := p.watched(events[i].FD)
		if w == nil || w.mode != Oneshot || w.armed == 0 {
			continue
		}
		p.changes = filters(p.changes, events[i].FD, w.armed, sys.FlagDelete)
		w.armed = 0
	}
	for i := range p.changes {
		// It fails only when the filter or its descriptor is gone, which is silence enough. One by
		// one, because Kevent takes a bounded number.
		_ = p.change(p.changes[i : i+1])
	}
}

func filterInterest(f sys.Filter) Interest {
	if f == sys.FilterWrite {
		return Writable
	}
	return Readable
}

func kqueueReady(ev *sys.Kevent) ready {
	r := readyRead
	if ev.Filter == sys.FilterWrite {
		r = readyWrite
	}
	if ev.Flags&sys.FlagEOF == 0 {
		return r
	}
	if ev.Fflags != 0 { // The socket's error. Any call fetches it, so none blocks.
		return readyRead | readyWrite | readyHangup | readyError
	}
	if ev.Filter == sys.FilterRead {
		r |= readyHangup
	}
	// The write filter's end of file without an error follows our own shutdown(2) too: the peer may
	// still be sending.
	return r
}

// Wake ends the present or the next Wait; any goroutine may call it. A write that a signal ended
// has put nothing into the pipe: it may have to wait there for whoever reads or writes at the time.
func (p *kqueueBackend) Wake() (err error) {
	for range triesMax {
		if _, err = p.kernel.Write(p.wakeW, wakeByte); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	// EAGAIN: the pipe is full, so the event stands already.
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("reactor: wake: %w", os.NewSyscallError("write", err))
	}
	return nil
}

// drainWakes empties the pipe. A byte it takes beside the one that was reported belongs to a Wake
// that came before this Wait returns, which is all that Wake promises.
func (p *kqueueBackend) drainWakes() {
	for {
		n, err := p.kernel.Read(p.wakeR, p.drained[:])
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n < len(p.drained) {
			return
		}
	}
}

// Close frees the poller's own descriptors; those it watches stay open.
func (p *kqueueBackend) Close() error {
	p.kernel.Close(p.wakeW)
	p.kernel.Close(p.wakeR)
	return p.kernel.Close(p.kq)
}

// kqueueError is nil when err is.
func kqueueError(verb string, fd int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reactor: %s fd %d: %w", verb, fd, os.NewSyscallError("kevent", err))
}
