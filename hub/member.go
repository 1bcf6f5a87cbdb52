package hub

import "time"

// movingFor is how long a member that was refused counts as moving after it last took bytes; from then on it is stalled.
const movingFor = time.Second

// A Sink is the client behind a Member. Its methods are called on the member's loop, and may make the member leave.
type Sink interface {
	// Flush writes Pending until the member's Position is upto, a write is refused, or the turn's budget is spent.
	Flush(upto int64)
	// Overtaken says that the log has dropped what the member still had to send, except rest: the remaining bytes of
	// the frame that is partly sent, or nil. The member has left its room. rest is shared and must not be changed.
	Overtaken(rest []byte)
	// Resume says that the room the member waited for with AwaitRoom has room again.
	Resume()
}

// A Member is one client in one room: a place among its branch's members and a cursor in the room's log. It is part of
// its client and belongs to the client's loop. The zero Member is in no room.
//
// A member is even (at the log's tail), waiting (behind, because its loop has not come to it yet), or blocked (the kernel
// refused its bytes, and it has not been even since). A blocked member that took bytes within the last second is moving,
// otherwise it is stalled.
type Member struct {
	branch    *branch
	cursor    cursor
	sink      Sink
	took      time.Duration // when it was refused or last took bytes while blocked
	place     int32         // index among the branch's members
	isBlocked bool
	isWaiting bool // among the branch's waiting publishers
}

// IsIn reports whether m is in a room.
func (m *Member) IsIn() bool { return m.branch != nil }

// Room is the room m is in.
func (m *Member) Room() *Room { return m.branch.room }

// Publish sends one frame, given in two parts, to everybody in m's room, m included, and returns its number there.
func (m *Member) Publish(head, payload []byte) uint64 {
	return m.branch.room.Publish(m.branch.fan, head, payload)
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
	if m.isBlocked {
		m.unblock()
	}
	b := m.branch
	if m.isWaiting {
		b.dropWaiter(m)
	}
	b.room.leave(m)
	m.branch, m.cursor = nil, cursor{}
}

// Pending is what m has to send next: contiguous bytes of whole frames but for where m itself stopped. Empty means even.
func (m *Member) Pending() []byte { return m.cursor.pending() }

// RestOfFrame is how many bytes are left of a frame that is partly sent; zero between frames, the only place where other
// bytes may go out.
func (m *Member) RestOfFrame() int { return m.cursor.restOfFrame() }

// Position is m's place in the room's stream, in bytes.
func (m *Member) Position() int64 { return m.cursor.position() }

// End is the position behind the last message published in m's room.
func (m *Member) End() int64 { return m.branch.room.log.end.Load() }

// Lag is how far m is behind the log's end, in messages and bytes.
func (m *Member) Lag() (messages uint64, bytes int64) {
	s := m.branch.room.Stats()
	return s.Next - m.cursor.seq(), s.End - m.cursor.position()
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

// Refused says that the kernel did not take all of what it was given: m is blocked until it is even again.
func (m *Member) Refused(now time.Duration) {
	if !m.isBlocked {
		m.isBlocked = true
		m.took = now
		m.branch.blocked.Add(1)
	}
}

// IsBlocked reports whether m was refused and has not been even since.
func (m *Member) IsBlocked() bool { return m.isBlocked }

// Took is when m was refused, or last took bytes while blocked.
func (m *Member) Took() time.Duration { return m.took }

func (m *Member) unblock() {
	m.isBlocked = false
	m.branch.blocked.Add(-1)
	if m.branch.room.IsFull() {
		m.branch.fan.enqueue(m.branch) // It may be the one the brake waited for: count anew at the end of this tick.
	}
}

func (m *Member) isStalled(now time.Duration) bool { return m.isBlocked && now-m.took >= movingFor }
