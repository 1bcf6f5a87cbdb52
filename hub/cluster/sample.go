package cluster

import "time"

// sampleTime is how often one kind of warning is worth a line.
const sampleTime = time.Second

// A sample is one kind of warning, of which there may be any number.
type sample struct {
	next    time.Duration
	skipped int
}

// samples are all kinds.
type samples struct {
	of *Options // whose log and clock they go by
	by map[string]*sample
}

// warn writes a line, unless one of its kind was written within the last second.
func (all *samples) warn(kind, text string, args ...any) {
	s := all.by[kind]
	if s == nil {
		s = new(sample)
		all.by[kind] = s
	}
	if now := all.of.Elapsed(); now >= s.next {
		s.next = now + sampleTime
		if s.skipped > 0 {
			args = append(args, "and_more", s.skipped)
		}
		s.skipped = 0
		all.of.Log.Warn("cluster: "+text, args...)
		return
	}
	s.skipped++
}
