//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package main

import (
	"os"

	"sluice/reactor"
)

// commons would be what the processes of a run have in common. The reactor has no backend here, so one process cannot run
// either.
type commons struct{ memory []byte }

type ears struct{}

func newCommons(int, int) (*commons, error) { return nil, reactor.ErrUnsupported }

func inherit(int, int) ([]byte, *ears, error) { return nil, nil, reactor.ErrUnsupported }

func (*commons) files(int) []*os.File { return nil }

func (*commons) ears(int) *ears { return nil }

func (*commons) close() {}

func (*ears) call(int) {}

func (*ears) register(*run) error { return reactor.ErrUnsupported }
