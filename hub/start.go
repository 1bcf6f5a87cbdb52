package hub

import (
	"errors"
	"time"
)

// A Start says where in its room's messages a member begins. The zero Start is the end: it gets
// what is published from then on.
type Start struct {
	Since    Position // behind this one, if it has an epoch
	Last     int      // otherwise with the last so many that are kept, if it is not zero
	Earliest bool     // otherwise with all that are kept
	// IsHeld says that nothing is handed to the member before its client calls Member.Ready: a
	// reply is to go first.
	IsHeld bool
	// IsUnfilled has the member begin at the end where JoinAt would return ErrNotFilled, without a
	// position, and be told by Client.Reset when Fill has come; or where it would return ErrAhead.
	IsUnfilled bool
	// IsHere has the member join on its loop, be its room at home on another or not.
	IsHere bool
}

// An Answer says how a member has joined.
type Answer uint8

const (
	Live       Answer = iota // at the end, as it asked
	Recovered                // where it asked: everything from there on follows
	WrongEpoch               // at the end: the room has another epoch, and whether something was missed is not known
	TooOld                   // at the end: something behind that position is no longer kept
	BeyondEnd                // at the end: no message of the epoch has had that position yet
	NoHistory                // at the end: the room keeps nothing
	NumAnswers
)

var answerNames = [NumAnswers]string{"live", "recovered", "wrong epoch", "too old", "beyond the end", "no history"}

// String is the answer in a few words.
func (a Answer) String() string { return answerNames[a] }

// A Joined says where a member has begun.
type Joined struct {
	Position // behind which it begins; without an epoch the room has no history
	Answer   Answer
	Messages uint64 // how many of those that are kept are before it
}

// ErrNotBuilt says that the room has kept messages and nobody reads this encoding yet: Hub.Build is
// to be called, by a goroutine that is no loop's, and JoinAt again.
var ErrNotBuilt = errors.New("hub: what the room keeps has yet to be encoded")

// JoinAt makes m a member of the named room, which is made if need be, and a reader of one of its
// encodings, from start on. m must not be in a room. now is the loop's clock. The errors are
// ErrTooManyRooms, ErrNoNewRooms, ErrNotBuilt, ErrNotFilled, ErrAhead and an *ElsewhereError,
// behind which m is in no room.
//
// A member that does not begin at the end is catching up until it has come there: it counts in no
// brake and holds no sweep, and may be overrun like every other that is blocked, for which
// IsBlocked takes it. Client.CaughtUp says when it has come to the end.
func (f *Fanout) JoinAt(now time.Duration, name string, e Encoding, start Start, m *Member, client Client) (Joined, error) {
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

// isJoinable reports whether a member can begin where it wants to.
func (l *log) isJoinable(start *Start) bool {
	h := l.history
	return h == nil || h.filling == isWhole || h.filling == isVoid && start.IsUnfilled
}

// begin is the number of the first message that a member gets that joins a track.
func (l *log) begin(start *Start, t *track) (from uint64, j Joined) {
	if l.history == nil {
		if start.Since.Epoch != "" || start.Last != 0 || start.Earliest {
			j.Answer = NoHistory
		}
		return l.next, j
	}
	if l.history.filling == isVoid {
		if start.Since.Epoch != "" {
			j.Answer = WrongEpoch
		}
		return l.next, j
	}
	from, j.Answer = l.find(start, max(l.readFrom(), t.oldest.Load().first))
	j.Position = Position{l.history.epoch, l.before(from).offset}
	j.Messages = l.next - from
	return from, j
}

// find is the number of the message that start names, of those from first on that may be read.
func (l *log) find(start *Start, first uint64) (from uint64, a Answer) {
	h, at := l.history, start.Since
	switch {
	case at.Epoch == "":
	case at.Epoch != h.epoch:
		return l.next, WrongEpoch
	case at.Offset > h.end():
		return l.next, BeyondEnd
	case !l.before(first).covers(at.Offset):
		return l.next, TooOld
	default:
		// What has no position follows the one before it.
		return l.search(first, func(r record) bool { return !r.mark().covers(at.Offset) }), Recovered
	}
	switch {
	case start.Last > 0:
		return l.next - min(l.next-first, uint64(start.Last)), Recovered
	case start.Earliest:
		return first, Recovered
	}
	return l.next, Live
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

// endCatchUp counts m as every other member: it has reached the tail, or leaves.
func (m *Member) endCatchUp() {
	if m.IsCatchingUp() {
		m.vote.isCatchingUp = false
		m.branch.room.countCatchingUp(-1)
		if *m.vote == (vote{}) {
			m.vote = nil // Nothing else is known of most: thousands come back together.
		}
	}
}

func (r *Room) countCatchingUp(n int32) {
	r.hub.catchingUp.Add(int64(n))
	if r.log.history != nil {
		r.log.history.catchingUp.Add(n)
	}
}

// IsCatchingUp reports whether m has begun behind the end and not come there yet, or is held.
func (m *Member) IsCatchingUp() bool { return m.vote != nil && m.vote.isCatchingUp }
