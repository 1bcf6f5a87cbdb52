package hub

import "time"

const (
	// movingFor is how long a member that was refused counts as moving after it last took bytes; from then on it is stalled.
	movingFor = time.Second
	// slowAfter is how long a blocked member may be further behind than half of the backlog before it counts as slow, which
	// is said before anything is cut.
	slowAfter = 10 * time.Second
)

// A Sink is the client behind a Member. Its methods are called on the member's loop, and may make the member leave.
type Sink interface {
	// Flush writes Pending until the member's Position is upto, a write is refused, or the turn's budget is spent. It returns
	// how many bytes it wrote, of whatever.
	Flush(upto int64) (wrote int)
	// Overtaken says that the log has dropped what the member still had to send. rest is what is left of the frame that is
	// partly sent; it goes out before anything else. A member that has left its room is to be closed then (Disconnect), one
	// that is still in it goes on behind that with Land.
	Overtaken(rest Rest)
	// Lagging says that the member has become slow, and that it is even again.
	Lagging(isSlow bool)
	// Abort says that there is no memory to keep the member's Rest any longer. The Rest must be released.
	Abort()
	// Resume says that the room the member waited for with AwaitRoom has room again.
	Resume()
}

// A Member is one client in one room: a place among its branch's members and a cursor in the room's log. It is part of
// its client and belongs to the client's loop. The zero Member is in no room.
//
// A member is even (at the log's tail), waiting (behind, because its loop has not come to it yet), or blocked (the kernel
// refused its bytes, and it has not been even since). A blocked member that took bytes within the last second is moving,
// otherwise it is stalled. One that the log has overtaken, and whose client has not come to what follows, is adrift as well: it stands
// nowhere in the log until it lands.
type Member struct {
	branch    *branch
	cursor    cursor
	sink      Sink
	took      time.Duration // when it was refused or last took bytes while blocked
	beyond    time.Duration // since when it is further behind than half of the backlog; zero: it is not
	place     int32         // index among the branch's members
	isBlocked bool
	isWaiting bool // among the branch's waiting publishers
	isSlow    bool // beyond for slowAfter, and not even since
	isReady   bool // among the branch's ready members
}

// IsIn reports whether m is in a room.
func (m *Member) IsIn() bool { return m.branch != nil }

// Room is the room m is in.
func (m *Member) Room() *Room { return m.branch.room }

// Publish sends a message to everybody in m's room, m included, and returns its number there. now is the loop's clock.
func (m *Member) Publish(now time.Duration, msg *Message) uint64 {
	return m.branch.room.Publish(m.branch.fan, now, msg)
}

// AwaitRoom puts m among those who are told by Resume when the room is no longer full. False means that it is not full.
func (m *Member) AwaitRoom() bool {
	if m.isWaiting {
		return true
	}
	m.isWaiting = m.branch.room.await(m)
	return m.isWaiting
}

// Leave ends the membership. Nothing of the room is delivered after it.
func (m *Member) Leave() {
	if m.branch == nil {
		return
	}
	b := m.branch
	if m.cursor.isAdrift() {
		b.land(m, b.track.atOldest()) // What the log dropped while it waited was missed.
	}
	m.isSlow, m.isReady = false, false // It goes, it does not recover.
	if m.isBlocked {
		m.unblock()
	}
	if m.isWaiting {
		b.dropWaiter(m)
	}
	b.room.leave(m)
	m.branch, m.cursor = nil, cursor{}
}

// Pending is what m, which is not adrift, has to send next: contiguous bytes of whole frames but for where m itself stopped. Empty
// means even.
func (m *Member) Pending() []byte { return m.cursor.pending() }

// RestOfFrame is how many bytes are left of a frame that is partly sent; zero between frames, the only place where other
// bytes may go out.
func (m *Member) RestOfFrame() int { return m.cursor.restOfFrame() }

// Position is m's place in its track of the room's stream, in bytes. Adrift it is that of the oldest frame retained.
func (m *Member) Position() int64 {
	c := m.standing()
	return c.position()
}

// standing is m's cursor, or where it would be if m, which is adrift, landed under Skip.
func (m *Member) standing() cursor {
	if m.cursor.isAdrift() {
		return m.branch.track.atOldest()
	}
	return m.cursor
}

// End is the position behind the last message published in m's room, in m's track.
func (m *Member) End() int64 { return m.branch.track.end.Load() }

// Track is the encoding that m reads.
func (m *Member) Track() Track { return m.branch.room.log.idOf(m.branch.track) }

// A Lag is how far a member is behind its room.
type Lag struct {
	Messages uint64        // one that is partly sent included
	Bytes    int64         // of its track
	Age      time.Duration // of the oldest message it has to send, or of one up to stampEvery-1 before it; zero when even
}

// Lag returns how far m is behind at the time now, in constant time. Adrift it is behind all that is retained.
func (m *Member) Lag(now time.Duration) Lag {
	c := m.standing()
	pending := len(c.pending()) // Moves it off a finished segment.
	s := m.branch.room.Stats()
	lag := Lag{Messages: s.Next - c.seq(), Bytes: s.End[m.Track()] - c.position()}
	if pending > 0 {
		lag.Age = max(0, now-c.stamp()) // The publisher's loop may count its pauses a little differently.
	}
	return lag
}

// Sent moves m on by n bytes that the kernel took, and returns how many messages that completed.
func (m *Member) Sent(n int, now time.Duration) (messages int) {
	messages = m.cursor.advance(n)
	if m.isBlocked {
		m.took = now
		if len(m.cursor.pending()) == 0 {
			m.unblock()
		}
	}
	return messages
}

// Moved says that m's client took bytes that are not the room's.
func (m *Member) Moved(now time.Duration) {
	m.took = now
	if m.branch != nil {
		m.branch.note(m) // Adrift, it counts again.
	}
}

// Refused says that the kernel did not take all of what it was given: m is blocked until it is even again.
func (m *Member) Refused(now time.Duration) {
	if !m.isBlocked {
		m.isBlocked = true
		m.took = now
		m.branch.hold(m)
		m.branch.free.Add(-1)
		m.branch.fan.stats.Blocked++
	}
}

// Ready says that m, which is blocked, may write again: its client takes bytes, or its turn's budget was spent before the
// kernel refused. The loop's next Flush lets it, in turns of rooms.
func (m *Member) Ready() {
	if !m.isReady {
		m.isReady = true
		m.branch.ready.push(m)
		m.branch.fan.enqueue(m.branch)
	}
}

// IsBlocked reports whether m was refused and has not been even since.
func (m *Member) IsBlocked() bool { return m.isBlocked }

// Took is when m was refused, or last took bytes while blocked.
func (m *Member) Took() time.Duration { return m.took }

// Judge looks whether m has become slow. The hub does so whenever a round takes the blocked members in; m's client calls it when
// SlowAt has come, in case no round does.
func (m *Member) Judge(now time.Duration) {
	switch {
	case !m.isBeyond():
		m.beyond = 0
	case m.beyond == 0:
		m.beyond = max(now, 1)
	case !m.isSlow && now-m.beyond >= slowAfter:
		m.isSlow = true
		m.branch.fan.stats.Slow++
		m.sink.Lagging(true)
	}
}

// isBeyond reports whether m is blocked and further behind than half of the backlog.
func (m *Member) isBeyond() bool {
	b := m.branch
	return m.isBlocked && (m.cursor.isAdrift() || m.End()-m.Position() > b.room.hub.limits.Backlog/2 || b.isInDanger(&m.cursor))
}

// SlowAt is when m may become slow at the earliest, as things stand at the time now; false: it is slow already, or not blocked.
func (m *Member) SlowAt(now time.Duration) (time.Duration, bool) {
	since := now
	if m.beyond > 0 {
		since = m.beyond
	}
	return since + slowAfter, m.isBlocked && !m.isSlow
}

func (m *Member) unblock() {
	wasSlow := m.isSlow
	m.isBlocked, m.isSlow, m.beyond = false, false, 0
	m.branch.aside.hasChanged = true
	m.branch.note(m)
	// It may be the one the brake waited for: count anew at the end of this tick. Or it was blocked like all others, and what was
	// published before it counted as free was no reason to call its branch.
	if m.branch.free.Add(1) == 1 || m.branch.room.IsFull() {
		m.branch.fan.call(m.branch)
	}
	if wasSlow {
		m.branch.fan.stats.Recovered++
		m.sink.Lagging(false)
	}
}

func (m *Member) isStalled(now time.Duration) bool { return m.isBlocked && now-m.took >= movingFor }
