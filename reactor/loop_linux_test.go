package reactor

import (
	"syscall"

	"sluice/reactor/internal/sys"
)

// noPoller is a kernel that is out of descriptors.
type noPoller struct{ sys.Real }

func (noPoller) EpollCreate() (int, error) { return -1, syscall.EMFILE }
