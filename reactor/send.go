package reactor

import (
	"errors"
	"syscall"
)

// A Send is one write of a batch: these bytes to this descriptor, which must not block.
type Send struct {
	FD    int
	Bytes []byte
	N     int   // how many of Bytes the kernel took
	Err   error // as of Kernel.Write; nil, too, if it took fewer than there are
}

// triesMax is how often a write is tried that signals interrupt.
const triesMax = 3

// SendBatch makes every write of the batch and notes what came of each. A write that fails does not
// keep the others from being made. It may be called from any goroutine that owns the descriptors.
func SendBatch(k Kernel, batch []Send) {
	for i := range batch {
		s := &batch[i]
		for range triesMax {
			if s.N, s.Err = k.Write(s.FD, s.Bytes); s.Err == nil || !errors.Is(s.Err, syscall.EINTR) {
				break
			}
		}
	}
}
