package process

import "math"

// A lapse is what a reset has told a client that it will not get: so many messages, of those that
// had been sent when it was told. It is for the first message of each publisher that comes behind
// it to show which they are. What is missing beyond is lost.
//
// Its methods may be called of nil, which excuses nothing.
type lapse struct {
	budget uint64   // how many more messages it excuses
	until  []uint32 // by the publisher's place in the room: not this one and those behind it
	taken  uint64   // messages that were excused
}

// unlimited is the budget where nobody can say how many messages have been missed.
const unlimited = math.MaxUint64

// excuse allows for as many further messages, of those that were sent until now, not to come.
func (s *sequenceCheck) excuse(budget uint64, streams []*stream) {
	if s.lapse == nil {
		s.lapse = &lapse{until: make([]uint32, len(streams))}
	}
	s.lapse.budget = min(s.lapse.budget, unlimited-budget) + budget
	for place, st := range streams {
		s.lapse.until[place] = st.sent.Load()
	}
}

// take is how many of the messages from next on, before seq, are excused. It is asked when seq has
// come, or at the end of the run.
func (l *lapse) take(place, next, seq uint32) uint32 {
	if l == nil || l.until[place] <= next {
		return 0
	}
	n := min(uint64(min(seq, l.until[place])-next), l.budget)
	l.until[place] = 0
	if l.budget != unlimited {
		l.budget -= n
	}
	l.taken += n
	return uint32(n)
}

// copied is a lapse that can be asked without being used up.
func (l *lapse) copied() *lapse {
	if l == nil {
		return nil
	}
	c := *l
	c.until = append([]uint32(nil), l.until...)
	return &c
}

// excused is how many of the messages that c has not got it was told of, at the end of the run.
func (s *sequenceCheck) excused(streams []*stream, c *client) uint64 {
	rest := s.lapse.copied()
	if rest == nil {
		return 0
	}
	for place, next := range s.next {
		if sent := streams[place].sent.Load(); next < sent && !streams[place].isUnheardBy(c) {
			rest.take(uint32(place), next, sent)
		}
	}
	return rest.taken
}
