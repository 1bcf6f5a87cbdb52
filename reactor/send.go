package reactor

import (
	"errors"
	"syscall"

	"sluice/reactor/internal/sys"
)

// A Send is one write of a batch: these bytes to this descriptor, which must not block.
type Send = sys.Send

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
