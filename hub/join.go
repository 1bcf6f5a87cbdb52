package hub

import "time"

// Join makes m a member of the named room, which is made if need be, and a reader of one of its
// encodings, from start on. m must not be in a room. now is the loop's clock. The errors are
// ErrTooManyRooms, ErrNoNewRooms, ErrNotBuilt, ErrNotFilled, ErrAhead and an *ElsewhereError,
// behind which m is in no room.
//
// A member that does not begin at the end is catching up until it has come there: it counts in no
// brake and holds no sweep, and may be overrun like every other that is blocked, for which
// IsBlocked takes it. Client.CaughtUp says when it has come to the end.
func (f *Fanout) Join(now time.Duration, name string, e Encoding, start Start, m *Member, client Client) (Joined, error) {
	m.client, m.owedTo = client, withoutEnd
	for {
		r, err := f.hub.roomOrNew(name)
		if err != nil {
			return Joined{}, err
		}
		j, err := r.join(f, e, m, start, now)
		switch err {
		case nil:
			f.stats.Joined[j.Answer]++
			return j, nil
		case errClosed:
		default:
			return Joined{}, err
		}
	}
}

// join makes m a member where start says, behind the last frame published in most cases: a publish
// either precedes the join or sees the member's branch. errClosed means that the room was closed
// meanwhile.
func (r *Room) join(f *Fanout, e Encoding, m *Member, start Start, now time.Duration) (Joined, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return Joined{}, errClosed
	}
	if home := r.home(f); home != f && !start.IsHere {
		return Joined{}, &ElsewhereError{home}
	}
	if !r.log.isJoinable(&start) {
		return Joined{}, ErrNotFilled
	}
	if r.log.lacks(e) {
		return Joined{}, ErrNotBuilt
	}
	if r.isAhead(start.Since) && !start.IsUnfilled {
		return Joined{}, ErrAhead
	}
	h := r.log.history
	if h != nil {
		h.emptySince = 0
	}
	t, isNew := r.log.enter(e)
	if isNew {
		r.noteTracks()
	}
	b := r.branchOf(f, t)
	if b == nil {
		b = &branch{
			room: r, track: t, fan: f, policy: r.hub.policyOf(r.name), isBundled: r.hub.encodings[e].IsBundled,
			sweptTo: t.end.Load(), reported: tally{lowest: r.log.next}, ackedTo: t.oldest.Load().base,
			roundedTo: uint16(r.log.next),
		}
		b.lookedTo = b.ackedTo
		if h != nil {
			b.resets = uint16(h.resets.Load())
		}
		r.branches = append(r.branches, b)
	} else if h != nil {
		b.noteReset(h) // Before m is in it, which has missed nothing.
	}
	r.members++
	m.branch = b
	from, j := r.log.begin(&start, t)
	if from < r.log.next || start.IsHeld {
		r.beginBehind(m, from, start.IsHeld, now)
		return j, nil
	}
	m.cursor = t.atEnd()
	m.setState(writable)
	b.add(m)
	// What was published while all others there were blocked was no reason to visit b. A full room
	// counts m in.
	if b.sweptTo < t.end.Load() || r.isFull.Load() {
		b.schedule(f, becauseJoined)
	}
	return j, nil
}

func (r *Room) branchOf(f *Fanout, t *track) *branch {
	for _, b := range r.branches {
		if b.fan == f && b.track == t {
			return b
		}
	}
	return nil
}

// beginBehind gives m, which joins, a place before messages that were published already. The caller
// holds the lock.
func (r *Room) beginBehind(m *Member, from uint64, isHeld bool, now time.Duration) {
	b := m.branch
	owed := r.log.next - from
	r.account.Owed += owed
	b.fan.stats.Owed += owed
	b.reported.lowest = min(b.reported.lowest, from) // A room short of memory may drop it before the next round ends.
	m.cursor = b.track.at(from)
	m.took = now
	m.itsVote().isCatchingUp = true
	r.countCatchingUp(1)
	waits := isHeld || b.isBundled // For its client, or for its bundle's turn.
	if waits {
		m.setState(blocked)
	} else {
		m.setState(ready)
	}
	b.add(m)
	b.enterLog(m)
	if !waits {
		b.ready.push(m)
		b.schedule(b.fan, becauseReady)
	}
}

// JoinBundle makes m the trunk of k, which has no readers yet: they join by Bundle.Join, and read
// the encoding e, which must be IsBundled. m must not be in a room.
func (f *Fanout) JoinBundle(k *Bundle, m *Member, e Encoding, client Client, readers ReaderClient) {
	*k = Bundle{trunk: m, client: client, told: readers, queued: k.queued}
	b := f.trunksOf(e)
	m.client, m.owedTo, m.branch = (*bundleClient)(k), withoutEnd, b
	m.cursor = b.track.atOldest()
	m.setState(writable)
	b.add(m)
}

// trunksOf is the branch of this loop's trunks whose readers read e, in a room that is in no
// directory and in which nothing is published.
func (f *Fanout) trunksOf(e Encoding) *branch {
	if b := f.trunks[e]; b != nil && !b.room.isSpoiled.Load() {
		return b
	}
	r := &Room{hub: f.hub}
	r.log.init(f.hub.limits.Backlog, nil)
	r.next.Store(r.log.next)
	t := &track{encoding: e}
	t.open(r.log.next)
	b := &branch{room: r, track: t, fan: f, isTrunks: true}
	r.branches = []*branch{b}
	f.trunks[e] = b
	return b
}
