package cluster

import "time"

// sampleTime is how often one kind of warning is worth a line.
const sampleTime = time.Second

// A sample is one kind of warning, of which there may be any number.
type sample struct {
	next    time.Duration
	skipped int
}

// warn writes a line, unless one of its kind was written within the last second.
func (n *Node) warn(kind, text string, args ...any) {
	s := n.samples[kind]
	if s == nil {
		s = new(sample)
		n.samples[kind] = s
	}
	if now := n.now(); now >= s.next {
		s.next = now + sampleTime
		if s.skipped > 0 {
			args = append(args, "and_more", s.skipped)
		}
		s.skipped = 0
		n.o.Log.Warn("cluster: "+text, args...)
		return
	}
	s.skipped++
}
