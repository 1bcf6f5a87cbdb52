//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package main

import (
	"os"

	"sluice/reactor"
)

// sharedMemory would be what the processes of a run have in common. The reactor has no backend here, so one process cannot run
// either.
type sharedMemory struct{ memory []byte }

type wakePipes struct{}

func newSharedMemory(int, int) (*sharedMemory, error) { return nil, reactor.ErrUnsupported }

func inherit(int, int) ([]byte, *wakePipes, error) { return nil, nil, reactor.ErrUnsupported }

func (*sharedMemory) files(int) []*os.File { return nil }

func (*sharedMemory) wakePipes(int) *wakePipes { return nil }

func (*sharedMemory) close() {}

func (*wakePipes) wake(int) {}

func (*wakePipes) register(*run) error { return reactor.ErrUnsupported }
