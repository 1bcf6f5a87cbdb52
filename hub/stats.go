package hub

// Stats count what befell the members of one loop since it began.
type Stats struct {
	Account

	Bytes    uint64              // of the log that the kernel took
	Writes   uint64              // deliveries that transports answered for
	Refused  uint64              // … that the kernel did not take whole
	Blocked  uint64              // times a member was refused that was not blocked
	Slow     uint64              // times a member was beyond half of the backlog for ten seconds
	CaughtUp uint64              // times a slow member had caught up again
	Overrun  [numPolicies]uint64 // times the log had dropped what a member needed, by its policy
	Unpinned uint64              // members given up because dropped frames took too much memory
	Joined   [NumAnswers]uint64  // members that joined, by how
	Reset    uint64              // times a member was told that its room has begun anew
}

// Add adds what another loop counted.
func (s *Stats) Add(o *Stats) {
	s.Account.add(&o.Account)
	s.Bytes += o.Bytes
	s.Writes += o.Writes
	s.Refused += o.Refused
	s.Blocked += o.Blocked
	s.Slow += o.Slow
	s.CaughtUp += o.CaughtUp
	for i := range o.Overrun {
		s.Overrun[i] += o.Overrun[i]
	}
	s.Unpinned += o.Unpinned
	s.Reset += o.Reset
	for i := range o.Joined {
		s.Joined[i] += o.Joined[i]
	}
}
