package sys

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Ring is one instance of io_uring(7): two queues in memory that it shares with the kernel, one
// of sends that are to be made and one of what came of them. It has no flags and nothing is
// registered with it, because neither made a batch any cheaper. It belongs to one goroutine.
//
//	entries   [ send 0 | send 1 | … ]◀─ tail, ours      io_uring_enter(2): the kernel takes them,
//	          ▲ head, the kernel's                      makes each in order, and says here what came
//	                                                    of it
//	results   [ 66 bytes | EAGAIN | … ]◀─ tail, the kernel's
//	          ▲ head, ours
type Ring struct {
	fd             int
	queues, memory []byte // mapped: both queues' indices and the results; the entries

	entries          []ringEntry
	head, tail       *atomic.Uint32
	results          []ringResult
	resHead, resTail *atomic.Uint32

	held []Send // the batch that the kernel is at: its bytes must neither move nor go
}

// What linux/io_uring.h says, as far as it is used here. All of it is the same on every
// architecture.
const (
	ringOffEntries    = 0x10000000 // IORING_OFF_SQES
	ringFeatureSingle = 1 << 0     // IORING_FEAT_SINGLE_MMAP
	ringOpSend        = 26         // IORING_OP_SEND
)

// ringParams is struct io_uring_params.
type ringParams struct {
	entries, results uint32
	flags            uint32
	_, _             uint32
	features         uint32
	_                [4]uint32
	sq               struct {
		head, tail, mask, entries, flags, dropped, array uint32
		_                                                [3]uint32
	}
	cq struct {
		head, tail, mask, entries, overflow, results uint32
		_                                            [4]uint32
	}
}

// ringEntry is struct io_uring_sqe.
type ringEntry struct {
	op       uint8
	_        [3]uint8
	fd       int32
	_        uint64
	address  uint64
	len      uint32
	flags    uint32
	userData uint64
	_        [3]uint64
}

// ringResult is struct io_uring_cqe.
type ringResult struct {
	userData uint64
	result   int32
	_        uint32
}

// OpenRing implements Calls. It needs Linux 5.6.
func (k Real) OpenRing(n int) (*Ring, error) {
	r, err := newRing(n)
	if err != nil {
		return nil, err
	}
	if err := k.tryRing(r); err != nil {
		k.CloseRing(r)
		return nil, err
	}
	return r, nil
}

func newRing(n int) (*Ring, error) {
	var p ringParams
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return nil, os.NewSyscallError("io_uring_setup", e)
	}
	r := &Ring{fd: int(fd)}
	if err := r.mapQueues(&p); err != nil {
		Real{}.CloseRing(r)
		return nil, err
	}
	return r, nil
}

func (r *Ring) mapQueues(p *ringParams) (err error) {
	if p.features&ringFeatureSingle == 0 {
		return fmt.Errorf("io_uring_setup: the queues are apart, as before Linux 5.4: %w", ErrUnsupported)
	}
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	size := max(p.sq.array+4*p.entries, p.cq.results+p.results*uint32(unsafe.Sizeof(ringResult{})))
	if r.queues, err = unix.Mmap(r.fd, 0, int(size), prot, flags); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	if r.memory, err = unix.Mmap(r.fd, ringOffEntries, int(p.entries)*int(unsafe.Sizeof(ringEntry{})), prot, flags); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	at := func(offset uint32) unsafe.Pointer { return unsafe.Pointer(&r.queues[offset]) }
	r.head, r.tail = (*atomic.Uint32)(at(p.sq.head)), (*atomic.Uint32)(at(p.sq.tail))
	r.resHead, r.resTail = (*atomic.Uint32)(at(p.cq.head)), (*atomic.Uint32)(at(p.cq.tail))
	r.entries = unsafe.Slice((*ringEntry)(unsafe.Pointer(&r.memory[0])), p.entries)
	r.results = unsafe.Slice((*ringResult)(at(p.cq.results)), p.results)
	order := unsafe.Slice((*uint32)(at(p.sq.array)), p.entries)
	for i := range order { // Which entry is in which place: the first in the first, for good.
		order[i] = uint32(i)
	}
	return nil
}

// SendRing implements Calls. A send neither waits in the kernel nor is handed to one of its
// threads, because each says MSG_DONTWAIT. The call tells the scheduler, which costs nothing beside
// a batch: raw, the collector would have to wait for all of it.
func (Real) SendRing(r *Ring, batch []Send, done []Completion) (begun, completed int, err error) {
	r.held = batch
	tail, mask := r.tail.Load(), uint32(len(r.entries)-1)
	for i := range batch {
		s, e := &batch[i], &r.entries[(tail+uint32(i))&mask]
		annotateRead(s.Bytes)
		*e = ringEntry{
			op: ringOpSend, fd: int32(s.FD), address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.Bytes)))), len: uint32(len(s.Bytes)),
			flags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i),
		}
	}
	r.tail.Store(tail + uint32(len(batch)))
	n, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(len(batch)), 0, 0, 0, 0)
	if e != 0 {
		err, n = e, 0
	}
	if int(n) < len(batch) { // The kernel looks at the tail in that call alone, so the others can be taken back.
		r.tail.Store(r.head.Load())
	}
	completed = r.take(done)
	if completed == int(n) {
		r.held = nil
	}
	return int(n), completed, err
}

// take moves what the kernel has said to done, as much as there is room for.
func (r *Ring) take(done []Completion) (n int) {
	head, tail, mask := r.resHead.Load(), r.resTail.Load(), uint32(len(r.results)-1)
	for ; head != tail && n < len(done); head++ {
		at := &r.results[head&mask]
		done[n] = Completion{at.userData, at.result}
		n++
	}
	r.resHead.Store(head)
	return n
}

// CloseRing implements Calls.
func (Real) CloseRing(r *Ring) {
	for _, mapped := range [][]byte{r.queues, r.memory} {
		if mapped != nil {
			_ = unix.Munmap(mapped) // What was mapped can be unmapped.
		}
	}
	_ = unix.Close(r.fd)
	r.queues, r.memory = nil, nil
}
