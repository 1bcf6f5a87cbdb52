//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"syscall"

	"sluice/reactor/internal/sys"
)

// noPoller is a kernel that is out of descriptors.
type noPoller struct{ sys.Real }

func (noPoller) Kqueue() (int, error) { return -1, syscall.EMFILE }
