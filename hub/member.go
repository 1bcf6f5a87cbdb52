package hub

import (
	"fmt"
	"math"
	"time"
)

// slowAfter is how long a blocked member may be further behind than half of the backlog before it
// counts as slow, which is said before anything is cut.
const slowAfter = 10 * time.Second

// A memberState says what rounds and turns may do with a member:
//
//	outside ──Join──▶ writable ──refused──▶ blocked ──Ready──▶ ready
//	   ▲ └─Join, behind──┼──┼────────────(held)▶ └────────────────▶
//	   │                 │  │                 │   ▲               │
//	   ├──────Leave──────┘  └──── caught up ──┤   └── its turn ───┘
//	   └──────────────────────────────Leave──┴───────────────────┘
//
//	state     the kernel            what moves it on                its cursor
//	outside   –                     Join                            none
//	writable  took all it got       rounds, which hand it bytes     in the log
//	blocked   refused some          Ready, called by its client     in the log, or overrun
//	ready     takes bytes again     the branch's next sweep         in the log, or overrun
//
// Beside its state a member may be *handed*: bytes of it are with the transport, which has not
// answered. Then it is not handed any more, not overrun, and its client's own bytes wait.
//
// A writable member that is not at the tail is *behind*: its branch is scheduled, always. A blocked
// or ready one is *progressing* while it has a vote (see vote), otherwise *stalled*.
type memberState uint8

const (
	outside memberState = iota
	writable
	blocked
	ready
)

// memberMoves are the transitions there are: a bit for each state that may follow.
var memberMoves = [...]uint8{
	outside:  1<<writable | 1<<blocked | 1<<ready,
	writable: 1<<blocked | 1<<outside,
	blocked:  1<<ready | 1<<writable | 1<<outside,
	ready:    1<<blocked | 1<<outside,
}

func (s memberState) String() string {
	return [...]string{outside: "outside", writable: "writable", blocked: "blocked", ready: "ready"}[s]
}

// A Member is one client in one room: a place among its branch's members and a cursor in the room's
// log. It is part of its client and belongs to the client's loop. The zero Member is in no room.
// Its state is drawn above.
type Member struct {
	branch    *branch
	cursor    cursor
	client    Client
	owedTo    int64         // position up to which it gets messages; math.MaxInt64: without end
	took      time.Duration // when its kernel last took bytes, or it was refused
	vote      *vote         // nil: it has published nothing and was not asked about
	place     int32         // index among the branch's members
	handed    uint32        // names the delivery that is with the transport; zero: none is
	state     memberState
	hasOwn    bool      // its client has bytes of its own for the next frame boundary
	isMet     bool      // the round under way waits for the end of its turn
	isCalled  bool      // its client called Ready since it was handed bytes
	isSlow    bool      // beyond half of the backlog for slowAfter, and not caught up since
	lineState lineState // among the publishers that wait
	spent     uint16    // bytes published since its lease, at most that much
}

// setState is the one place where a state changes.
func (m *Member) setState(to memberState) {
	if memberMoves[m.state]&(1<<to) == 0 {
		m.branch.room.hub.broken(fmt.Sprintf("a member that is %v becomes %v", m.state, to))
	}
	m.state = to
}

// IsIn reports whether m is in a room.
func (m *Member) IsIn() bool { return m.branch != nil }

// Room is the room m is in.
func (m *Member) Room() *Room { return m.branch.room }

// Policy is what becomes of m if the log overruns it; a trunk's is Disconnect.
func (m *Member) Policy() Policy { return m.branch.policy }

// Encoding is the encoding that m reads.
func (m *Member) Encoding() Encoding { return m.branch.track.encoding }

// IsBlocked reports whether m was refused and has not caught up since.
func (m *Member) IsBlocked() bool { return m.state >= blocked }

// Took is when m's client's kernel last took bytes of the room's, while it was blocked of its own
// too, or refused them. Zero: never.
func (m *Member) Took() time.Duration { return m.took }

// HoldOwn makes the hub call m's client's SendOwn as soon as it may send bytes of its own: at the
// next frame boundary, before more of the room's. It is for bytes that could not be sent at once.
func (m *Member) HoldOwn() { m.hasOwn = true }

// Block says that the kernel did not take all of what it was given: m is blocked until it has
// caught up again, and Ready is to be called when it takes bytes.
func (m *Member) Block(now time.Duration) {
	if m.state != writable {
		return
	}
	m.took = now
	if m.vote != nil {
		m.vote.refused()
	}
	m.setState(blocked)
	b := m.branch
	b.writable.Add(-1)
	b.fan.stats.Blocked++
	b.enterLog(m)
}

// Ready says that m, which is blocked, may go on: its client's socket takes bytes. The loop's next
// Flush gives it a turn. If bytes of it are with the transport their answer says how it goes on;
// one that refuses them may be older than this.
func (m *Member) Ready() {
	switch {
	case m.state != blocked:
	case m.handed != 0:
		m.isCalled = true
	default:
		m.setState(ready)
		m.branch.ready.push(m)
		m.branch.schedule(m.branch.fan, becauseReady)
	}
}

// unblock makes m, which is at the tail, writable again.
func (m *Member) unblock() {
	b, wasSlow := m.branch, m.isSlow
	m.setState(writable)
	m.endCatchUp()
	m.isSlow = false
	if m.vote != nil {
		m.vote.beyond = 0
	}
	b.blocked.hasChanged = true
	b.setVisit(m)
	// It may be the one the brake waited for: count anew at the end of this tick. Or it was blocked
	// like all others, and what was published before it counted as writable was no reason to visit
	// its branch.
	if b.writable.Add(1) == 1 || b.room.IsFull() {
		b.schedule(b.fan, becauseCaughtUp)
	}
	if wasSlow {
		b.fan.stats.CaughtUp++
		m.client.Lagging(false)
	}
	m.client.CaughtUp()
}

// IsSpeaker reports whether m hears nothing of its room.
func (m *Member) IsSpeaker() bool { return m.branch.isSpeaker }

// standing is m's cursor, or where it would be if m, which is overrun, rejoined under Skip.
func (m *Member) standing() cursor {
	if m.cursor.isOverrun() {
		return m.branch.track.atOldest()
	}
	return m.cursor
}

// End is the position behind the last message that m is to get: of its room, or what Finish left it
// to get.
func (m *Member) End() int64 {
	c := m.standing()
	return max(min(m.branch.track.end.Load(), m.owedTo), c.position()+int64(c.restOfFrame()))
}

// Position is m's place in its room's stream, in bytes of its encoding. Overrun it is that of the
// oldest frame retained.
func (m *Member) Position() int64 {
	c := m.standing()
	return c.position()
}

// isBeyond reports whether m is blocked and further behind than half of the backlog.
func (m *Member) isBeyond() bool {
	b := m.branch
	return m.IsBlocked() && !b.isSpeaker && (m.cursor.isOverrun() ||
		b.track.end.Load()-m.Position() > b.room.hub.limits.Backlog/2 || b.isNearOverrun(&m.cursor))
}

// SlowAt is when m may become slow at the earliest, as things stand at the time now; false: it is
// slow already, or not blocked.
func (m *Member) SlowAt(now time.Duration) (time.Duration, bool) {
	since := now
	if m.vote != nil && m.vote.beyond > 0 {
		since = m.vote.beyond
	}
	return since + slowAfter, m.IsBlocked() && !m.isSlow
}

// withoutEnd is the owedTo of a member that is not to Finish.
const withoutEnd = math.MaxInt64

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

// isWaitedFor reports whether m has a say in the brake while it is not stalled: neither one that
// catches up nor one that is to Finish has, as what is published now is nothing to them.
func (m *Member) isWaitedFor() bool { return !m.IsCatchingUp() && m.owedTo == withoutEnd }
