package reactor

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"sluice/reactor/internal/sys"
)

// RingMax is how many writes a Ring makes in one call at most. More at a time cost less in a large
// room, by a twentieth, and keep everybody else waiting for four times as long.
const RingMax = 256

// ErrUnfinished is what became of a write that a ring has begun and that has not ended: its bytes
// may reach the descriptor at any time, or never. Nothing else may be written there.
var ErrUnfinished = errors.New("reactor: a write that was begun has not ended")

// A KernelRing is what a Kernel has of a Ring, and a Completion what it says of one write: for
// doubles of the kernel.
type (
	KernelRing = sys.Ring
	Completion = sys.Completion
)

// A Ring makes the writes of a batch in one system call, by io_uring(7). It belongs to one
// goroutine. What makes it fit for bytes that are dropped afterwards is that every write ends
// within the call. A kernel that does not keep to this, or refuses the call, is never asked again.
type Ring struct {
	kernel Kernel
	ring   *sys.Ring // nil: it has ended
	done   [RingMax]sys.Completion
}

// OpenRing opens a ring on the kernel, which shares some 28 KiB with it, and one descriptor. The
// error tells why there is none: the system is not Linux, or is older than 5.6, forbids it, or does
// not do what it has to, which the kernel was made to show.
func OpenRing(k Kernel) (*Ring, error) {
	ring, err := k.OpenRing(RingMax)
	if err != nil {
		return nil, err
	}
	return &Ring{kernel: k, ring: ring}, nil
}

// SendBatch is SendBatch of this package for at most RingMax writes to sockets, but for that it
// does not try again what signals interrupt. After an error the ring has ended, and all that was
// asked was done all the same, except for writes with ErrUnfinished.
func (r *Ring) SendBatch(batch []Send) (ended error) {
	for i := range batch {
		batch[i].N, batch[i].Err = 0, ErrUnfinished
	}
	begun, completed, err := r.kernel.SendRing(r.ring, batch, r.done[:])
	for _, is := range r.done[:completed] {
		if is.Index < uint64(begun) {
			finish(&batch[is.Index], is.Result)
		}
	}
	if unfinished := keep(batch[:begun]); unfinished > 0 {
		ended = fmt.Errorf("%d writes have not ended within the call: %w", unfinished, ErrUnfinished)
	} else if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		ended = fmt.Errorf("io_uring_enter: %w", err)
	}
	if ended != nil {
		r.Close()
	}
	SendBatch(r.kernel, batch[begun:])
	return ended
}

func finish(s *Send, result int32) {
	if result < 0 {
		s.Err = syscall.Errno(-result)
		return
	}
	s.N, s.Err = int(result), nil
}

// kept are the bytes of writes that did not end: the kernel may read them as long as the process
// lives. They are of one batch of each ring at most, because none is used after that.
var kept struct {
	mu  sync.Mutex
	all [][]byte
}

// keep counts the writes that were begun and have not ended, and keeps their bytes.
func keep(begun []Send) (unfinished int) {
	for i := range begun {
		if begun[i].Err != ErrUnfinished {
			continue
		}
		unfinished++
		kept.mu.Lock()
		kept.all = append(kept.all, begun[i].Bytes)
		kept.mu.Unlock()
	}
	return unfinished
}

// Close gives the ring's memory and descriptor back. It may be called again.
func (r *Ring) Close() {
	if r.ring != nil {
		r.kernel.CloseRing(r.ring)
		r.ring = nil
	}
}
