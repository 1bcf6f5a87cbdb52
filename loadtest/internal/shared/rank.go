package shared

import "sluice/reactor"

// A Rank is a process's place among those of a run, and what it shares with the others.
type Rank struct {
	Index, Count int // 0 is the process that started the others
	Stats        *Stats

	pipes *wakePipes // nil in a run of one process
}

// Alone is the rank of a run of one process, whatever the layout says of their number.
func Alone(l Layout) *Rank {
	l.Processes = 1
	return &Rank{Count: 1, Stats: layOut(&carver{}, l)}
}

// Wake makes another process look at the stats. Before its byte was read, a second one is not
// needed. Any loop may call it.
func (r *Rank) Wake(process int) {
	if !r.Stats.wakePending[process].Swap(true) {
		r.pipes.wake(process)
	}
}

// Watch makes loop call look, on its goroutine, when another process wakes this one. It is called
// once, before loop runs.
func (r *Rank) Watch(loop *reactor.Loop, look func()) error {
	if r.pipes == nil {
		return nil
	}
	return r.pipes.register(loop, func() {
		r.Stats.wakePending[r.Index].Store(false)
		look()
	})
}
