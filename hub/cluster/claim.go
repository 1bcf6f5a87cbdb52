package cluster

import (
	"slices"
	"time"
)

const (
	claimPause  = 50 * time.Millisecond // between what a node says
	awaitTime   = 3 * time.Second       // for nodes that are known
	awaitNobody = time.Second           // for any, where none is known
	knownTime   = 15 * time.Second      // how long a node is known that says nothing
	knownMax    = 256                   // others are not waited for
)

// others is what a node knows of the other ones. A store that is copied back looks whole to who was
// away, or asked for nothing, when that was stored which it lacks. So a node whose connection has
// come does not go by the stream before the others have said what they have seen of it: those that
// it knows, or one that goes by the stream already, which has waited itself. An answer names the
// question, because a claim may have been on its way since before the store was another one.
type others struct {
	known      map[string]*other
	question   string // of this connection
	askedAt    time.Duration
	isVouched  bool // one that trusts the stream has answered
	isStranger bool // this one has never trusted the stream: it may know nobody
	wasAway    bool // since it trusted the stream last
	toAnswer   []string
	claimedAt  time.Duration
}

type other struct {
	claim       Claim // the last one
	heardAt     time.Duration
	hasAnswered bool
}

// askOthers is called when the connection comes.
func (n *Node) askOthers() {
	n.question = newName()
	n.askedAt = n.now()
	n.isVouched = false
	for _, o := range n.known {
		o.hasAnswered = false
	}
	n.claim()
}

// isAwaiting reports whether others may know more of the stream, and are waited for.
func (n *Node) isAwaiting(now time.Duration) bool {
	wait := awaitTime
	if len(n.known) == 0 {
		wait = awaitNobody
	}
	if n.isVouched || now-n.askedAt >= wait {
		return false
	}
	for _, o := range n.known {
		if !o.hasAnswered {
			return true
		}
	}
	return n.isStranger || n.wasAway && len(n.known) == 0
}

// claim says to the others what this node knows, and answers them.
func (n *Node) claim() {
	now := n.now()
	c := Claim{Node: n.boot, Revision: n.revision, IsTrusted: n.isTrusted, Answers: n.toAnswer}
	if !n.isStranger {
		c.Epoch, c.Last, c.Seen, c.SeenID = n.epoch, n.reached, n.seen, n.seenID
	}
	if n.isAwaiting(now) {
		c.Asks = n.question
	}
	n.toAnswer, n.claimedAt = nil, now
	n.broker.Tell(c)
}

// know notes what a node claims that has trusted the stream.
func (n *Node) know(c *Claim, now time.Duration) {
	o := n.known[c.Node]
	if o == nil {
		if len(n.known) >= knownMax {
			return
		}
		o = new(other)
		n.known[c.Node] = o
	}
	o.claim, o.heardAt = *c, now
	if slices.Contains(c.Answers, n.question) {
		o.hasAnswered = true
		n.isVouched = n.isVouched || c.IsTrusted
	}
	if c.Asks != "" && c.Epoch == n.epoch && c.Last > n.reached { // It comes late, and knows better.
		n.auditAt = 0
	}
	n.revision = max(n.revision, c.Revision)
	n.believe(o)
}

// believe takes for seen what another has.
func (n *Node) believe(o *other) {
	if o.claim.Epoch == n.epoch {
		n.see(o.claim.Seen, o.claim.SeenID)
		n.reached = max(n.reached, o.claim.Last)
	}
}

// talk is called with each tick: what is not answered is asked again, and who has said nothing for
// long is forgotten. Nobody is while the stream is in doubt.
func (n *Node) talk(now time.Duration) {
	if n.isUp && (len(n.toAnswer) > 0 || n.isAwaiting(now)) {
		n.claim()
	}
	for name, o := range n.known {
		if n.isTrusted && now-o.heardAt > knownTime {
			delete(n.known, name)
		}
	}
}
