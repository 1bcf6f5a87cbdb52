package cluster

import "time"

// recent is where the stream ended at times in the last half of its age. What is behind the first
// of them is younger than that, so no server has dropped it for its age, whatever its clock says;
// and a stream that may have dropped something for its size is not remembered. What a room keeps of
// it is all that there was, unless there may be no more packs of one room.
type recent struct {
	ends []end
	// fitsTo is a sequence up to which the stream drops nothing because of its size: as it was a
	// second ago at most, it may be filled by now, and have dropped what nobody here has seen.
	fitsTo uint64
}

type end struct {
	at  time.Duration // when it was asked for
	seq uint64
}

// endsMax is how many there are.
const endsMax = 16

// note notes where the stream ended at a time or later.
func (r *recent) note(at time.Duration, s *State, age time.Duration) {
	if s.IsFull {
		r.ends = nil
	}
	r.forget(at, age)
	if n := len(r.ends); n == 0 || at-r.ends[n-1].at >= age/2/endsMax {
		r.ends = append(r.ends, end{at, s.Last})
	}
}

// noteFree notes for how many messages the stream has room.
func (r *recent) noteFree(s *State) {
	if r.fitsTo = 0; !s.IsFull {
		r.fitsTo = s.Last + s.Free
	}
}

func (r *recent) forget(now, age time.Duration) {
	for len(r.ends) > 0 && now-r.ends[0].at > age/2 {
		r.ends = r.ends[1:]
	}
}

// since is a sequence behind which nothing was dropped. It is not ok if none is known.
func (r *recent) since(now, age time.Duration) (seq uint64, ok bool) {
	if r.forget(now, age); len(r.ends) == 0 {
		return 0, false
	}
	return r.ends[0].seq, true
}
