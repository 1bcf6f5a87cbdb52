package main

// A rank is a process's place among those of a run, and how it wakes the others.
type rank struct {
	index, count int
	pipes        *wakePipes // nil in a run of one process
}

// alone is the rank of a run of one process.
func alone() *rank { return &rank{count: 1} }

// wake makes another process look at the stats. Before its byte was read, a second one is not needed.
func (place *rank) wake(s *stats, process int) {
	if !s.wakePending[process].Swap(true) {
		place.pipes.wake(process)
	}
}

// watch makes the loops look at the stats when another process wakes us.
func (place *rank) watch(r *run) error {
	if place.pipes == nil {
		return nil
	}
	return place.pipes.register(r)
}
