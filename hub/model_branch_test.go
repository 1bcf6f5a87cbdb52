package hub

import "slices"

// checkBranches holds what branches know of their members to the members.
func (m *model) checkBranches() {
	for _, s := range m.rooms {
		members := 0
		for _, b := range s.room.branches {
			members += b.len()
			m.checkBranch(b)
		}
		if !s.room.isClosed && members != int(s.room.members) {
			m.t.Fatalf("the room counts %d members and has %d", s.room.members, members)
		}
	}
}

func (m *model) checkBranch(b *branch) {
	isCalled := b.isScheduled()
	free, overrun := 0, 0
	for i, l := range b.members {
		bit := uint64(1) << (i % 64)
		isFree, isVisited := b.bitmap[i/64].writable&bit != 0, b.bitmap[i/64].visitable&bit != 0
		switch {
		case l == nil:
			if isFree || isVisited {
				m.t.Fatalf("rounds visit place %d, where nobody is", i)
			}
			continue
		case int(l.place) != i, isFree == l.IsBlocked(), !isVisited && !(l.cursor.isOverrun() && l.isStalled()):
			m.t.Fatalf("place %d: free %v, visited %v; its member has place %d and is blocked %v, overrun %v", i, isFree, isVisited, l.place, l.IsBlocked(), l.cursor.isOverrun())
		case l.cursor.isOverrun():
			overrun++
			continue
		case !l.IsBlocked():
			free++
		}
		if b.reported.lowest > l.cursor.seq() {
			m.t.Fatalf("a branch told that all have what is before message %d, and one waits for %d", b.reported.lowest, l.cursor.seq())
		}
		c := l.cursor
		if isBehind := len(c.settle()) > 0; isBehind && !l.IsBlocked() && !isCalled {
			m.t.Fatal("a member waits in a branch that nobody calls")
		}
		if l.IsBlocked() && c.seg.base < b.track.oldest.Load().base && !isCalled {
			m.t.Fatal("a blocked member stands in a dropped segment, and nobody calls its branch")
		}
	}
	if int(b.writable.Load()) != free || int(b.blocked.overrun) != overrun {
		m.t.Fatalf("a branch counts %d free and %d overrun, and has %d and %d", b.writable.Load(), b.blocked.overrun, free, overrun)
	}
	if unseen := b.track.end.Load() - b.sweptTo; !isCalled && unseen > 0 && (free > 0 || unseen >= m.limits.Window/4) {
		m.t.Fatalf("%d bytes were published since the last round, %d members are free, and nobody calls their branch", unseen, free)
	}
}

// checkBrakes looks, when all that could be done is done, for whom rooms that are full are so: for
// somebody who is behind, and whose stream is not to end.
func (m *model) checkBrakes() {
	for name, s := range m.rooms {
		isFor := func(l *listener) bool {
			return l.story == s && l.IsIn() && !l.isSpeaker && l.IsBlocked() && (l.pipe == nil || !l.pipe.bundle.isFinishing)
		}
		if s.room.IsFull() && s.room.Stats().Members > 0 && !slices.ContainsFunc(m.all, isFor) {
			m.t.Fatalf("publishers wait in room %s for nobody", name)
		}
	}
}
