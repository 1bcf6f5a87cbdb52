package hub

import (
	"fmt"
	"math"
	"time"
)

// slowAfter is how long a blocked member may be further behind than half of the backlog before it
// counts as slow, which is said before anything is cut.
const slowAfter = 10 * time.Second

// A Client is what stands behind a Member. The hub hands its bytes to a Transport and tells the
// client only what it cannot know by itself: a delivery that the kernel takes calls none of these.
// They are called on the member's loop, and each may make the member leave.
type Client interface {
	// SendOwn sends what the client has to send beside the room's bytes, now that it may:
	// Member.HoldOwn has asked for that. It returns how many bytes went out, and whether that was
	// all. What it leaves because limit bytes have gone out it sends when it is called again; a
	// refusal of the kernel it reports by Member.Block.
	SendOwn(limit int) (sent int, isAll bool)
	// Refused says that the kernel did not take all of what it was handed. The client is to call
	// Member.Ready when its socket takes bytes again.
	Refused()
	// CaughtUp says that the member is no longer blocked: nobody need know when the socket takes
	// bytes.
	CaughtUp()
	// Finished says that the client has been sent all that Member.Finish left it to get.
	Finished()
	// Failed says that the transport could not write at all: the peer is gone.
	Failed()
	// Overrun says that the log has dropped what the member still had to send. rest is what is left
	// of the frame that is partly sent; it goes out before anything else. Under Disconnect the
	// member leaves its room with this call, and is to be closed. Otherwise it goes on by itself
	// when the rest has been sent.
	Overrun(rest Rest)
	// Rejoined says that the member, which was overrun and is at a frame boundary, goes on behind
	// this position, and how many messages it has missed. The client may send something of its own
	// first: Member.HoldOwn.
	Rejoined(missed uint64, at Position)
	// Reset says that the member's room has begun anew, and goes on behind this position: whether
	// something was missed is not known. It comes before anything of what follows. The member may
	// leave, and its client send something of its own.
	Reset(at Position)
	// Lagging says that the member has become slow, and that it has caught up again.
	Lagging(isSlow bool)
	// Abort says that there is no memory to keep the member's Rest any longer. The Rest must be
	// released.
	Abort()
	// Spoiled says that the member has left its room, because a panic left the room's state in
	// doubt. isWhole: at a frame boundary, so that the client can be told.
	Spoiled(isWhole bool)
	// Queued is how much of what the client was given its kernel has not got rid of, and what the
	// number means. It is asked now and then while the member is blocked, and may not change
	// anything.
	Queued() (n int64, means Queued)
	// Resume says that the turn has come of a member that AwaitRoom or EndTurn let wait. It is to
	// publish soon, asking again, and to say when its turn is over.
	Resume()
}

// A memberState says what rounds and turns may do with a member:
//
//	outside ──Join──▶ writable ──refused──▶ blocked ──Ready──▶ ready
//	   ▲ └─JoinAt────────┼──┼────────────(held)▶ └────────────────▶
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

// Client is what stands behind m, or stood behind it when it left; behind a trunk, its bundle's.
func (m *Member) Client() Client {
	if c, ok := m.client.(*bundleClient); ok {
		return c.client
	}
	return m.client
}

// Policy is what becomes of m if the log overruns it; a trunk's is Disconnect.
func (m *Member) Policy() Policy { return m.branch.policy }

// Encoding is the encoding that m reads.
func (m *Member) Encoding() Encoding { return m.branch.track.encoding }

// IsBlocked reports whether m was refused and has not caught up since.
func (m *Member) IsBlocked() bool { return m.state >= blocked }

// Took is when m's client's kernel last took bytes of the room's, while it was blocked of its own
// too, or refused them. Zero: never.
func (m *Member) Took() time.Duration { return m.took }

// Publish sends a message to everybody in m's room, m included unless it is a speaker, and returns
// its number there. now is the loop's clock.
func (m *Member) Publish(now time.Duration, msg Encoder) uint64 {
	p := m.branch.room.publish(m.branch.fan, now, msg, m.branch.track.encoding)
	m.spent = uint16(min(int(m.spent)+p.size, leaseBytes))
	m.said(p.own)
	return p.seq
}

// AwaitRoom asks for leave to publish a message. False means that m may. True means that its room
// is full or that others are before it: its client's Resume is called when its turn has come.
func (m *Member) AwaitRoom() bool {
	r := m.branch.room
	return r.mustAsk.Load() && r.ask(m)
}

// EndTurn says that m's client publishes nothing more at present, and whether it has more to
// publish in its next turn. True means that others are before it then: its Resume is called.
func (m *Member) EndTurn(hasMore bool) bool {
	r := m.branch.room
	return r.mustAsk.Load() && r.endTurn(m, hasMore)
}

// Leave ends the membership. Nothing of the room is delivered after it, but bytes that the
// transport has not answered for may still be written.
func (m *Member) Leave() {
	switch b := m.branch; {
	case b == nil:
	case b.isTrunks:
		bundleOf(m).leave()
	case b.isBundled:
		readerOf(m).Leave()
	default:
		m.leave()
	}
}

func (m *Member) leave() {
	b := m.branch
	if b.room.isSpoiled.Load() {
		m.forsake()
		return
	}
	wasBlocked, wasMet := m.IsBlocked(), m.isMet
	b.room.leave(m)
	m.setState(outside)
	*m = Member{took: m.took, client: m.client} // Its client may have to Abort yet.
	if wasMet {
		b.closeTurn()
	}
	if wasBlocked && b.len() > 0 && b.room.IsFull() {
		b.schedule(b.fan, becauseLeft) // It may be the one the brake waited for.
	}
}

// Finish ends m's stream at a position of its track, which may be below zero, and with what is
// published now at the latest, and its place in line: it publishes no more. Where m is past that
// position, as every m is past math.MinInt64, the frame that it is in the middle of is its last.
// Its client's Finished is called when it has been sent that, which may be before Finish returns.
// Another Finish may end it sooner.
//
// Of a trunk everything but math.MinInt64 is the end of each of its readers' tracks.
func (m *Member) Finish(upTo int64) {
	if m.branch.isTrunks {
		bundleOf(m).finish(upTo)
		return
	}
	m.endAt(upTo)
	if m.CanSendOwn() && !m.hasOwn && m.cursor.position() >= m.owedTo {
		m.client.Finished()
	}
}

// endAt notes where m's stream ends. The brake waits for it no more.
func (m *Member) endAt(upTo int64) {
	b := m.branch
	m.quitLine()
	m.owedTo = min(upTo, m.owedTo, b.track.end.Load())
	if m.IsBlocked() {
		b.blocked.hasChanged = true
		if b.room.IsFull() {
			b.schedule(b.fan, becauseLeft)
		}
	}
}

// CanSendOwn reports whether m's client may write bytes of its own at this moment: nothing of the
// room's is with the transport, and the last frame was sent whole. One that is in no room may
// always.
func (m *Member) CanSendOwn() bool {
	switch {
	case m.branch == nil:
		return true
	case m.branch.isTrunks:
		return bundleOf(m).canSendOwn()
	}
	return m.handed == 0 && !m.cursor.isOverrun() && m.cursor.restOfFrame() == 0
}

// HoldOwn makes the hub call m's client's SendOwn as soon as it may send bytes of its own: at the
// next frame boundary, before more of the room's. It is for bytes that could not be sent at once.
func (m *Member) HoldOwn() { m.hasOwn = true }

// TookOwn says that m's client, which may be blocked, took n bytes that are not the room's.
func (m *Member) TookOwn(n int, now time.Duration) {
	if m.IsBlocked() {
		m.wrote(n, now)
		m.branch.setVisit(m) // Overrun, it counts again.
		if m.branch.isTrunks {
			bundleOf(m).visitOverrun()
		}
	}
}

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

// A Lag is how far a member is behind its room.
type Lag struct {
	Messages uint64        // one that is partly sent included
	Bytes    int64         // of its track
	Age      time.Duration // of the oldest message it has to send, about; zero when caught up
}

// Lag returns how far m is behind at the time now, in constant time. Overrun it is behind all that
// is retained.
func (m *Member) Lag(now time.Duration) Lag {
	switch {
	case m.branch.isSpeaker:
		return Lag{}
	case m.branch.isTrunks:
		return bundleOf(m).lag(now)
	}
	c := m.standing()
	hasMore := len(c.settle()) > 0
	seq := c.seq()
	// A frame is there a moment before its number is, and m may have it.
	lag := Lag{Messages: max(m.branch.room.next.Load(), seq) - seq, Bytes: m.branch.track.end.Load() - c.position()}
	if hasMore {
		lag.Age = max(0, now-c.stamp()) // The publisher's loop may count its pauses a little differently.
	}
	return lag
}

// Behind is how many bytes of its track m is behind, as Lag has it, without a look at the room.
func (m *Member) Behind() int64 {
	switch {
	case m.branch.isSpeaker:
		return 0
	case m.branch.isTrunks:
		return bundleOf(m).behind()
	}
	return max(0, m.branch.track.end.Load()-m.Position())
}

// IsSlow reports whether m has become slow and has not caught up since; a trunk, whether one of its
// readers has.
func (m *Member) IsSlow() bool {
	if m.branch.isTrunks {
		return bundleOf(m).isSlow()
	}
	return m.isSlow
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

// JudgeLag looks whether m has become slow. The hub does so whenever a round takes the blocked
// members in; m's client calls it when SlowAt has come, in case no round does.
func (m *Member) JudgeLag(now time.Duration) {
	switch {
	case m.branch.isTrunks:
		bundleOf(m).judgeLag(now)
	case !m.isBeyond():
		if m.vote != nil {
			m.vote.beyond = 0
		}
	case m.itsVote().beyond == 0:
		m.vote.beyond = max(now, 1)
	case !m.isSlow && now-m.vote.beyond >= slowAfter:
		m.isSlow = true
		m.branch.fan.stats.Slow++
		m.client.Lagging(true)
	}
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
