package main

// A ledger is what one client has seen of the publishers in its room. It counts each fault once and under one name:
//
//   - lost: never came. A message behind it that did come makes a gap; the end of the run makes the rest.
//   - reordered: came behind one that was sent after it.
//   - duplicated: came again.
//   - corrupted: came with other bytes than it was sent with. It is not lost besides.
type ledger struct {
	next []uint32 // by the publisher's place in the room: the number to come next, or unknown
	gaps map[gap]struct{}
	// strays are corrupted messages that could not be told from others: each will look like a loss too.
	strays uint32
	missed uint64 // gaps of earlier stays
	order  uint64 // grows with every message in its order: equal for clients that saw the same in the same order
	clean  bool   // nothing was missed, so order can be compared
	counts counts
}

// unknown is the number of a publisher that has not been heard by somebody who came in the middle.
const unknown = 1<<32 - 1

type gap struct{ place, seq uint32 }

// counts are one client's, one loop's or one run's.
type counts struct {
	Delivered  uint64 // for the first time and intact
	Duplicated uint64
	Reordered  uint64
	Corrupted  uint64
	Foreign    uint64
}

func (c *counts) add(o *counts) {
	c.Delivered += o.Delivered
	c.Duplicated += o.Duplicated
	c.Reordered += o.Reordered
	c.Corrupted += o.Corrupted
	c.Foreign += o.Foreign
}

// begin forgets all but foreign messages, which may be greetings, and expects of every lane what it sends next.
func (l *ledger) begin(lanes []*lane) {
	for i := range l.next {
		l.next[i] = lanes[i].sent.Load()
	}
	l.gaps = nil
	l.missed = 0
	l.strays, l.order, l.clean, l.counts = 0, 0, true, counts{Foreign: l.counts.Foreign}
}

// take judges the number of an intact message. isNew says that it counts as a delivery; settled is how many numbers of
// this publisher, up to and with this one, this client is no longer waited for.
func (l *ledger) take(place, seq uint32) (isNew bool, settled uint32) {
	next := l.next[place]
	if seq == next {
		l.next[place] = seq + 1
		l.order = (l.order ^ uint64(place)<<32 ^ uint64(seq)) * 0x9e37_79b9_7f4a_7c15
		l.counts.Delivered++
		return true, 1
	}
	return l.takeOdd(place, seq, next)
}

func (l *ledger) takeOdd(place, seq, next uint32) (isNew bool, settled uint32) {
	if next == unknown {
		l.next[place] = seq + 1
		l.clean = false
		l.counts.Delivered++
		return true, 1
	}
	l.clean = false
	if seq > next {
		if l.gaps == nil {
			l.gaps = make(map[gap]struct{})
		}
		for missing := next; missing < seq; missing++ {
			l.gaps[gap{place, missing}] = struct{}{}
		}
		l.next[place] = seq + 1
		l.counts.Delivered++
		return true, seq - next + 1
	}
	if _, isLate := l.gaps[gap{place, seq}]; isLate {
		delete(l.gaps, gap{place, seq})
		l.counts.Reordered++
		l.counts.Delivered++
		return true, 0
	}
	l.counts.Duplicated++
	return false, 0
}

// takeCorrupt counts a damaged message. It is taken for the one that is due if it still says so; settled is 1 then.
func (l *ledger) takeCorrupt(place, seq uint32) (settled uint32) {
	l.counts.Corrupted++
	l.clean = false
	if int(place) < len(l.next) && l.next[place] == seq {
		l.next[place]++
		return 1
	}
	l.strays++
	return 0
}

// pause ends a stay: what was to come next is not known at the return.
func (l *ledger) pause() {
	l.missed += uint64(len(l.gaps))
	l.gaps = nil
	l.clean = false
	for i := range l.next {
		l.next[i] = unknown
	}
}

// holes is how many messages are missing between others that came.
func (l *ledger) holes() uint64 {
	n := l.missed + uint64(len(l.gaps))
	return n - min(n, uint64(l.strays))
}

// lost is how many messages of the lanes never came to c.
func (l *ledger) lost(lanes []*lane, c *client) uint64 {
	n := uint64(len(l.gaps))
	for place, next := range l.next {
		if sent := lanes[place].sent.Load(); !lanes[place].isUnheardBy(c) && next != unknown && next < sent {
			n += uint64(sent - next)
		}
	}
	return n - min(n, uint64(l.strays))
}
