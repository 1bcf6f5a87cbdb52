//go:build linux

package gateway

import (
	"bytes"
	"fmt"

	"github.com/gobwas/ws"
)

// gotMessage checks a message against what was sent, and its place against what everybody else has seen.
func (c *simClient) gotMessage(op ws.OpCode, payload []byte) {
	var by, no int
	if _, err := fmt.Sscanf(string(payload), simName, &by, &no); err != nil || by >= len(c.w.clients) || no >= len(c.w.clients[by].sent) {
		c.fail("a message that nobody sent: %q", payload)
		return
	}
	m := c.w.clients[by].sent[no]
	switch {
	case m.op != op || !bytes.Equal(m.payload, payload):
		c.fail("message %d of client %d is not what was sent: %q", no, by, payload)
	case m.by.room != c.room:
		c.fail("message %d of client %d crossed from room %d", no, by, m.by.room)
	case m.firstSeen != 0 && m.firstSeen < c.asked:
		c.fail("message %d of client %d is from before it joined", no, by)
	case c.w.plan.isLossy() && no >= c.seen[by]:
	case c.seen[by] < 0 && no > c.floor[by]:
		c.fail("the first message of client %d is %d, but %d was sent after it had joined", by, no, c.floor[by])
	case c.seen[by] >= 0 && no != c.seen[by]:
		c.fail("message %d of client %d came where %d is due", no, by, c.seen[by])
	}
	c.seen[by] = no + 1
	if m.firstSeen == 0 {
		m.firstSeen = c.w.steps
	}
	c.checkOrder(m)
	c.last = m
}

func (c *simClient) checkOrder(m *simMessage) {
	before := c.last
	switch {
	case c.w.plan.isLossy():
		c.got = append(c.got, m)
	case before == nil:
	case before.next == nil && m.prev == nil:
		before.next, m.prev = m, before
	case before.next != m:
		c.fail("behind message %d of client %d came %d of client %d; others saw another one", before.no, before.by.no, m.no, m.by.no)
	}
}

// checkOrders checks, where messages may be missed, that there is one order that all have seen parts of: what came behind what,
// as anybody saw it, has no cycle.
func (w *world) checkOrders() {
	behind, before := map[*simMessage][]*simMessage{}, map[*simMessage]int{}
	for _, c := range w.clients {
		for i, m := range c.got {
			if i == 0 {
				before[m] += 0
				continue
			}
			behind[c.got[i-1]] = append(behind[c.got[i-1]], m)
			before[m]++
		}
	}
	var free []*simMessage
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
		w.fail("clients have seen %d messages in orders that contradict each other", len(before)-placed)
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

// judgeCode says whether a Close frame's code was due. bye is the code that the client itself had sent before, or zero.
func (c *simClient) judgeCode(bye int) {
	switch {
	case c.peer.IsDoomed() || c.isVague:
	case c.code == c.violation, bye != 0 && c.code == bye:
		c.checkHeard()
	case c.hasReason && reasons[c.reason].code != 0 && int(reasons[c.reason].code) == c.code:
	case c.code == 4008 && c.hasReason: // overtaken while it was closing for that reason
	default:
		c.fail("closed with %d; it deserves %d for its violation or %d for its Close, the gateway's reason is %v (known: %v)",
			c.code, c.violation, bye, c.reason, c.hasReason)
	}
}

// checkHeard checks that what a client said before it said Close, or broke a rule, was heard.
func (c *simClient) checkHeard() {
	if n := len(c.sent); n > 0 && c.seen[c.no] != n && !c.w.plan.isLossy() {
		c.fail("closed with %d, but of its %d messages it has seen %d", c.code, n, c.seen[c.no])
	}
}

// mayBeTurned says whether the gateway may refuse the client for want of room.
func (c *simClient) mayBeTurned() bool {
	return c.w.plan.connections < c.w.plan.clients || c.w.isDraining
}

// judgeStatus says whether the request may be answered like this.
func (c *simClient) judgeStatus() {
	switch {
	case c.status == 503 && c.mayBeTurned():
	case c.status == 408 && c.w.kernel.Now() >= c.w.plan.handshake:
	case c.kind == simBad && (c.status == 400 || c.status == 426 || c.status == 431):
	default:
		c.fail("its request is answered with %d", c.status)
	}
}

// judgeEnd says whether the connection may end like this. A reset drops what is under way, so it says nothing about the rest.
func (c *simClient) judgeEnd(byReset bool) {
	switch {
	case c.peer.IsDoomed() || byReset && c.hasReason || c.code != 0 || c.status != 0:
	case c.asked == 0 || c.kind == simBad:
	case byReset && (c.bye != 0 || c.violation != 0 || c.isHalf):
	case !c.isUpgraded && c.mayBeTurned(): // A reset ate the answer, or the kernel did not take it.
	case c.isVague, c.hasReason && reasons[c.reason].code == 0 && c.reason != ClosedByPeer:
	case c.isHalf:
	default:
		c.fail("its connection ended (reset: %v) without a Close frame; the gateway's reason is %v (known: %v)", byReset, c.reason, c.hasReason)
	}
	if len(c.in) > 0 && !byReset && c.isUpgraded && !c.peer.IsDoomed() {
		c.fail("its stream ends in the middle of a frame: %x", c.in)
	}
}
