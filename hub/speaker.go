package hub

import "slices"

// A speaker is a member that publishes and hears nothing of its room. It reads a track of its own
// to which nobody appends, in a branch that its room keeps apart: it is caught up for good, and in
// no count of members, no account, no tally of the brake and no sweep of a message. It waits for
// its turn to publish like everybody, and keeps the room in being. It costs some 600 bytes more
// than a reader.

// JoinToSpeak makes m a speaker in the named room, which is made if need be, for a client that
// would read e. Of start IsHere counts alone: who hears nothing begins nowhere. m must not be in a
// room. The errors are those of Join.
func (f *Fanout) JoinToSpeak(name string, e Encoding, start Start, m *Member, client Client) error {
	m.client, m.owedTo = client, withoutEnd
	for {
		r, err := f.hub.roomOrNew(name)
		if err != nil {
			return err
		}
		if err := r.joinToSpeak(f, e, start, m); err != errClosed {
			return err
		}
	}
}

func (r *Room) joinToSpeak(f *Fanout, e Encoding, start Start, m *Member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return errClosed
	}
	if home := r.home(f); home != f && !start.IsHere {
		return &ElsewhereError{home}
	}
	t := &track{encoding: e}
	t.open(0)
	b := &branch{room: r, track: t, fan: f, isSpeaker: true}
	if r.speakers == nil {
		r.speakers = new(speakers)
	}
	r.speakers.branches = append(r.speakers.branches, b)
	m.branch = b
	m.cursor = t.atEnd()
	m.setState(writable)
	b.add(m)
	return nil
}

// leaveAsSpeaker ends the membership of a speaker, and the room if it was the last. The caller
// holds the lock.
func (r *Room) leaveAsSpeaker(m *Member) {
	all := r.speakers.all()
	i := slices.Index(all, m.branch)
	r.speakers.branches = slices.Delete(all, i, i+1)
	m.branch.remove(m)
	r.quit(m)
	r.closeIfEmpty()
}
