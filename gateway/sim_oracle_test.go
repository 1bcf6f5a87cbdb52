//go:build linux

package gateway

import (
	"bytes"
	"iter"

	"github.com/gobwas/ws"

	"sluice/gateway/internal/simclient"
)

// gotMessage checks a message against what was sent, and its place against what everybody else has
// seen.
func (c *simClient) gotMessage(op ws.OpCode, payload []byte) {
	m := c.w.messageNamed(string(payload))
	if m == nil {
		c.Fail("a message that nobody sent: %q", payload)
		return
	}
	by, no := m.By.No, m.No
	switch {
	case m.Op != op || !bytes.Equal(m.Payload, payload):
		c.Fail("message %d of client %d is not what was sent: %q", no, by, payload)
	case m.By.Room != c.Room:
		c.Fail("message %d of client %d crossed from room %d", no, by, m.By.Room)
	case m.FirstSeen != 0 && m.FirstSeen < c.Asked && (c.Wants == 0 || !c.keeps()):
		c.Fail("message %d of client %d is from before it joined", no, by)
	case c.w.Plan.IsLossy() && no >= c.Seen[by]:
	case c.Seen[by] < 0 && no > c.Floor[by]:
		c.Fail("the first message of client %d is %d, but %d was sent after it had joined", by, no, c.Floor[by])
	case c.Seen[by] >= 0 && no != c.Seen[by]:
		c.Fail("message %d of client %d came where %d is due", no, by, c.Seen[by])
	}
	c.Seen[by] = no + 1
	if m.FirstSeen == 0 {
		m.FirstSeen = c.w.Steps
	}
	c.checkPlace(m)
	c.checkOrder(m)
	c.Last = m
}

func (c *simClient) keeps() bool { return c.w.Plan.History.Keeps(c.Room) }

// checkPlace holds a message's place, where it is known, to where the client began, and to the
// place of the message before it.
func (c *simClient) checkPlace(m *simclient.Message) {
	if !c.keeps() || m.Offset == 0 || c.w.Plan.IsLossy() {
		return
	}
	switch before := c.Last; {
	case before == nil:
		c.judgeBegin(m)
	case before.Offset != 0 && (before.Epoch != m.Epoch || before.Offset+1 != m.Offset):
		c.Fail("behind %s:%d comes %s:%d", before.Epoch, before.Offset, m.Epoch, m.Offset)
	}
}

// judgeBegin says whether the client may begin with this message.
func (c *simClient) judgeBegin(m *simclient.Message) {
	least, most, removed := uint64(0), c.joined.Offset, uint64(0)
	if c.asked.Epoch == m.Epoch {
		least, removed = c.asked.Offset, c.removed
	}
	if c.joined.Epoch != m.Epoch {
		most = c.w.standing(c.Room).Offset
	}
	if wrong := c.w.mayBegin(c.w.chronicleOf(c.Room, m.Epoch), m.Offset-1, least, most, removed, c.Wants); wrong != "" {
		c.Fail("%s", wrong)
	}
}

func (c *simClient) checkOrder(m *simclient.Message) {
	before := c.Last
	switch {
	case c.w.Plan.IsLossy():
		c.Got = append(c.Got, m)
	case before != nil && !before.IsBefore(m):
		c.Fail("behind message %d of client %d came %d of client %d; others saw another one", before.No, before.By.No, m.No, m.By.No)
	}
}

// checkOrders checks, where messages may be missed, that there is one order that all have seen
// parts of: what came behind what, as anybody saw it, has no cycle.
func (w *world) checkOrders() {
	behind, before := map[*simclient.Message][]*simclient.Message{}, map[*simclient.Message]int{}
	for got := range w.heard() {
		for i, m := range got {
			if i == 0 {
				before[m] += 0
				continue
			}
			behind[got[i-1]] = append(behind[got[i-1]], m)
			before[m]++
		}
	}
	var free []*simclient.Message
	for m, n := range before {
		if n == 0 {
			free = append(free, m)
		}
	}
	placed := 0
	for ; len(free) > 0; placed++ {
		m := free[len(free)-1]
		free = free[:len(free)-1]
		for _, next := range behind[m] {
			if before[next]--; before[next] == 0 {
				free = append(free, next)
			}
		}
	}
	if placed != len(before) {
		w.Fail("clients have seen %d messages in orders that contradict each other", len(before)-placed)
	}
}

// heard is what each client has heard of its room, and each subscription.
func (w *world) heard() iter.Seq[[]*simclient.Message] {
	return func(yield func([]*simclient.Message) bool) {
		for _, c := range w.clients {
			if !yield(c.Got) {
				return
			}
		}
		for _, s := range w.subscribers.all {
			if !yield(s.got) {
				return
			}
		}
	}
}

// later puts off a judgement until every loop has ended its tick: what it did it for is known then.
func (w *world) later(judge func()) {
	w.judgements = append(w.judgements, judge)
	w.judge()
}

func (w *world) judge() {
	for _, l := range w.loops {
		if !l.isAsleep && !l.hasEnded {
			return
		}
	}
	for _, judge := range w.judgements {
		judge()
	}
	w.judgements = w.judgements[:0]
}

// judgeCode says whether a Close frame's code was due. bye is the code that the client itself had
// sent before, or zero.
func (c *simClient) judgeCode(bye int) {
	switch {
	case c.Peer.IsDoomed() || c.isVague:
	case c.Code == c.Violation, bye != 0 && c.Code == bye:
		c.checkHeard()
	case c.HasReason && reasons[c.reason].code != 0 && int(reasons[c.reason].code) == c.Code:
	case c.Code == 4008 && c.HasReason: // overrun while it was closing for that reason
	default:
		c.Fail("closed with %d; it deserves %d for its violation or %d for its Close, the gateway's reason is %v (known: %v)",
			c.Code, c.Violation, bye, c.reason, c.HasReason)
	}
}

// checkHeard checks that what a client said before it said Close, or broke a rule, was heard.
func (c *simClient) checkHeard() {
	if n := len(c.Sent); n > 0 && c.Seen[c.No] != n && !c.w.Plan.IsLossy() {
		c.Fail("closed with %d, but of its %d messages it has seen %d", c.Code, n, c.Seen[c.No])
	}
}

// mayBeTurned says whether the gateway may refuse the client for want of room.
func (c *simClient) mayBeTurned() bool {
	return c.w.Plan.Connections < c.w.Plan.Peers() || c.w.IsDraining
}

// judgeStatus says whether the request may be answered like this.
func (c *simClient) judgeStatus() {
	switch {
	case c.Status == 503 && (c.mayBeTurned() || c.keeps()): // What the room keeps cannot be had.
	case c.Status == 408 && c.w.Kernel.Now() >= c.w.Plan.Handshake:
	case c.Kind == simclient.Bad && (c.Status == 400 || c.Status == 426 || c.Status == 431):
	default:
		c.Fail("its request is answered with %d", c.Status)
	}
}

// judgeEnd says whether the connection may end like this. A reset drops what is under way, so it
// says nothing about the rest.
func (c *simClient) judgeEnd(byReset bool) {
	switch {
	case c.Peer.IsDoomed() || byReset && c.HasReason || c.Code != 0 || c.Status != 0:
	case c.Asked == 0 || c.Kind == simclient.Bad:
	case byReset && (c.Bye != 0 || c.Violation != 0 || c.IsHalf):
	case !c.IsUpgraded && c.mayBeTurned(): // A reset ate the answer, or the kernel did not take it.
	case c.isVague, c.HasReason && reasons[c.reason].code == 0 && c.reason != ClosedByPeer:
	case c.IsHalf:
	default:
		c.Fail("its connection ended (reset: %v) without a Close frame; the gateway's reason is %v (known: %v)", byReset, c.reason, c.HasReason)
	}
	if len(c.In) > 0 && !byReset && c.IsUpgraded && !c.Peer.IsDoomed() {
		c.Fail("its stream ends in the middle of a frame: %x", c.In)
	}
}
