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
	isScheduled := b.isScheduled()
	canWrite, overrun := 0, 0
	for i, l := range b.members {
		bit := uint64(1) << (i % 64)
		isWritable, isVisitable := b.bitmap[i/64].writable&bit != 0, b.bitmap[i/64].visitable&bit != 0
		switch {
		case l == nil:
			if isWritable || isVisitable {
				m.t.Fatalf("rounds visit place %d, where nobody is", i)
			}
			continue
		case int(l.place) != i, isWritable == l.IsBlocked(), !isVisitable && !(l.cursor.isOverrun() && l.isStalled()):
			m.t.Fatalf("place %d: writable %v, visitable %v; its member has place %d and is blocked %v, overrun %v", i, isWritable, isVisitable, l.place, l.IsBlocked(), l.cursor.isOverrun())
		case l.cursor.isOverrun():
			overrun++
			continue
		case !l.IsBlocked():
			canWrite++
		}
		if b.reported.lowest > l.cursor.seq() {
			m.t.Fatalf("a branch reported that all have what is before message %d, and one has yet to get %d", b.reported.lowest, l.cursor.seq())
		}
		c := l.cursor
		if isBehind := len(c.settle()) > 0; isBehind && !l.IsBlocked() && !isScheduled {
			m.t.Fatal("a member is behind in a branch that is not scheduled")
		}
		if l.IsBlocked() && c.seg.base < b.track.oldest.Load().base && !isScheduled {
			m.t.Fatal("a blocked member stands in a dropped segment, and its branch is not scheduled")
		}
	}
	if int(b.writable.Load()) != canWrite || int(b.blocked.overrun) != overrun {
		m.t.Fatalf("a branch counts %d writable and %d overrun, and has %d and %d", b.writable.Load(), b.blocked.overrun, canWrite, overrun)
	}
	if unseen := b.track.end.Load() - b.sweptTo; !isScheduled && unseen > 0 && (canWrite > 0 || unseen >= m.limits.Window/4) {
		m.t.Fatalf("%d bytes were published since the last round, %d members are writable, and their branch is not scheduled", unseen, canWrite)
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
