//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package shared

import (
	"os"

	"sluice/reactor"
)

// Memory would be what the processes of a run have in common. The reactor has no backend here, so
// one process cannot run either.
type Memory struct{}

// NewMemory refuses.
func NewMemory(Layout) (*Memory, error) { return nil, reactor.ErrUnsupported }

// Rank is never asked.
func (*Memory) Rank() *Rank { return nil }

// Files are none.
func (*Memory) Files(int) []*os.File { return nil }

// Close has nothing to close.
func (*Memory) Close() {}

// Inherit refuses.
func Inherit(Layout, int) (*Rank, error) { return nil, reactor.ErrUnsupported }

type wakePipes struct{}

func (*wakePipes) wake(int) {}

func (*wakePipes) register(*reactor.Loop, func()) error { return reactor.ErrUnsupported }
