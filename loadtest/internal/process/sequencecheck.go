package process

import "sluice/loadtest/internal/load"

// A sequenceCheck is what one client has seen of the publishers in its room. It counts each fault
// once and under one name:
//
//   - lost: never came. A message behind it that did come makes a gap; the end makes the rest.
//   - reordered: came behind one that was sent after it.
//   - duplicated: came again.
//   - corrupted: came with other bytes than it was sent with. It is not lost besides.
type sequenceCheck struct {
	next []uint32 // by the publisher's place in the room: the number to come next, or unknown
	gaps map[gap]struct{}
	// strays are corrupted messages that could not be told from others: each will look like a loss
	// too.
	strays uint32
	missed uint64 // gaps of earlier stays
	order  uint64 // of what came: equal for clients that saw the same in the same order
	clean  bool   // nothing was missed, so order can be compared
	counts Counts
	lapse  *lapse // nil: nothing that is missing was ever told of
}

// unknown is the number of a publisher that a client which came in the middle has not heard yet.
const unknown = 1<<32 - 1

type gap struct{ place, seq uint32 }

// Counts are one client's, one loop's or one run's.
type Counts struct {
	Delivered  uint64 // for the first time and intact
	Duplicated uint64
	Reordered  uint64
	Corrupted  uint64
	Foreign    uint64
}

func (c *Counts) add(o *Counts) {
	c.Delivered += o.Delivered
	c.Duplicated += o.Duplicated
	c.Reordered += o.Reordered
	c.Corrupted += o.Corrupted
	c.Foreign += o.Foreign
}

// begin forgets all but foreign messages, which may be greetings, and expects of every stream what
// it sends next.
func (s *sequenceCheck) begin(streams []*stream) {
	for i := range s.next {
		s.next[i] = streams[i].sent.Load()
	}
	s.gaps, s.lapse = nil, nil
	s.missed = 0
	s.strays, s.order, s.clean, s.counts = 0, 0, true, Counts{Foreign: s.counts.Foreign}
}

// take judges the number of an intact message. isNew says that it counts as a delivery; settled is
// how many numbers of this publisher, up to and with this one, this client is no longer waited for.
func (s *sequenceCheck) take(place, seq uint32) (isNew bool, settled uint32) {
	next := s.next[place]
	if seq == next {
		s.next[place] = seq + 1
		s.order = (s.order ^ uint64(place)<<32 ^ uint64(seq)) * 0x9e37_79b9_7f4a_7c15
		s.counts.Delivered++
		return true, 1
	}
	return s.takeOdd(place, seq, next)
}

func (s *sequenceCheck) takeOdd(place, seq, next uint32) (isNew bool, settled uint32) {
	if next == unknown {
		s.next[place] = seq + 1
		s.clean = false
		s.counts.Delivered++
		return true, 1
	}
	s.clean = false
	if seq > next {
		from := next
		next += s.lapse.take(place, next, seq)
		if s.gaps == nil {
			s.gaps = make(map[gap]struct{})
		}
		for missing := next; missing < seq; missing++ {
			s.gaps[gap{place, missing}] = struct{}{}
		}
		s.next[place] = seq + 1
		s.counts.Delivered++
		return true, seq - from + 1
	}
	if _, isLate := s.gaps[gap{place, seq}]; isLate {
		delete(s.gaps, gap{place, seq})
		s.counts.Reordered++
		s.counts.Delivered++
		return true, 0
	}
	s.counts.Duplicated++
	return false, 0
}

// takeCorrupt counts a damaged message. It is taken for the one that is due if it still says so;
// settled is 1 then.
func (s *sequenceCheck) takeCorrupt(place, seq uint32) (settled uint32) {
	s.counts.Corrupted++
	s.clean = false
	if int(place) < len(s.next) && s.next[place] == seq {
		s.next[place]++
		return 1
	}
	s.strays++
	return 0
}

// pause ends a stay: what was to come next is not known at the return.
func (s *sequenceCheck) pause() {
	s.missed += uint64(len(s.gaps))
	s.gaps = nil
	s.clean = false
	for i := range s.next {
		s.next[i] = unknown
	}
}

// holes is how many messages are missing between others that came.
func (s *sequenceCheck) holes() uint64 {
	n := s.missed + uint64(len(s.gaps))
	return n - min(n, uint64(s.strays))
}

// missing is how many messages of the streams never came to c: lost, or unfinished, which were not
// waited for to the end. What others came behind is lost, and what a connection that ended owed.
func (s *sequenceCheck) missing(streams []*stream, c *client) (lost, unfinished uint64) {
	lost = uint64(len(s.gaps))
	rest := s.lapse.copied()
	for place, next := range s.next {
		st := streams[place]
		sent := st.sent.Load()
		if next < sent && !st.isUnheardBy(c) {
			next += rest.take(uint32(place), next, sent)
		}
		switch {
		case st.isUnheardBy(c) || next == unknown || next >= sent:
		case (st.cut.Load() || c.w.isRestCut && c.kind == load.KindResumer) && !c.wasCut:
			unfinished += uint64(sent - next)
		default:
			lost += uint64(sent - next)
		}
	}
	return lost - min(lost, uint64(s.strays)), unfinished
}
