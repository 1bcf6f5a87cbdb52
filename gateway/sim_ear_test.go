//go:build linux

package gateway

import "sluice/reactor/reactortest"

// An ear is the simulated kernel with a witness of what the gateway reads.
type ear struct {
	*reactortest.Sim
	w *world
}

func (e ear) Read(fd int, p []byte) (int, error) {
	n, err := e.Sim.Read(fd, p)
	if c := e.w.clientOf(e.Sim.LinkNo(fd)); n > 0 && c != nil && e.w.current != nil {
		c.Intake.Read(p[:n], e.w.current.w.loop.Now())
	}
	return n, err
}
