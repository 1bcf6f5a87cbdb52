package main

// A seat is a process's place among those of a run, and how it wakes the others.
type seat struct {
	index, count int
	ears         *ears // nil in a run of one process
}

// alone is the seat of a run of one process.
func alone() *seat { return &seat{count: 1} }

// wake makes another process look at the board. Before its byte was read, a second one is not needed.
func (s *seat) wake(b *board, process int) {
	if !b.poked[process].Swap(true) {
		s.ears.call(process)
	}
}

// watch makes the loops look at the board when another process wakes us.
func (s *seat) watch(r *run) error {
	if s.ears == nil {
		return nil
	}
	return s.ears.register(r)
}
