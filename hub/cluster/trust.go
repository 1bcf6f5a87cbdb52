package cluster

import (
	"cmp"
	"crypto/rand"
	"errors"
	"strings"
	"time"
)

const (
	auditTime   = 5 * time.Second        // between audits, and how old the epoch's message is at most
	suspectTime = time.Second            // before a suspicion is looked into again, and acted upon
	retryTime   = 500 * time.Millisecond // before an audit that failed
	outageTime  = 3 * time.Second        // without an answer, before it is an outage
)

// trust says whether the stream is the one that it was. Its creation's time does not: a store that
// was lost or an older one that was copied back may have the same. So the epoch has a message that
// was there lately, which an audit looks for; and each node goes by the last one that it has seen
// itself, by where it and others know the stream to have been, and by contradictions: what came out
// of the stream, and is not in it. While a node does not trust the stream, it reads, fetches and
// sends nothing, and what was asked for or sent before that proves nothing any more.
//
//	Up, a contradiction ──▶ in doubt ──others have spoken; audit: the same──▶ trusted
//	                         │    ▲ (twice, a second apart)
//	                         ├────┴─another──▶ a new epoch, all rooms reset ──▶ trusted
//	                         └──another node's epoch: taken, all rooms reset ──▶ in doubt
type trust struct {
	isTrusted  bool
	isUp       bool // there is a connection to ask
	isAuditing bool
	mustStart  bool   // Prepare is due
	epoch      string // empty: not known yet
	revision   uint64 // of the epoch, as it was read last
	reached    uint64 // a sequence that the stream has had in the epoch: the highest that is known
	seen       uint64 // the highest one whose message has come here, or to another node, and its id
	seenID     string
	doubts     uint64 // times that the stream came into doubt, or was another one
	isDenied   bool   // what came out of the stream is not in it
	auditAt    time.Duration
	suspicions int // audits in a row that found another stream
	goodAt     time.Duration
	isClosed   bool
	doubt      error // why it is not trusted
}

var (
	errStarting = errors.New("cluster: the stream has not been reached yet")
	errDown     = errors.New("cluster: no connection to the NATS servers")
	errSuspect  = errors.New("cluster: the stream may not be what it was")
)

// distrust is called when the connection comes or goes.
func (n *Node) distrust(isUp bool) {
	n.isUp, n.mustStart = isUp, true
	if isUp {
		n.suspect(errStarting)
		n.askOthers()
	} else {
		n.suspect(errDown)
		n.wasAway = true
	}
	n.audit(n.now())
	n.report()
}

// suspect has an audit come before anything else.
func (n *Node) suspect(why error) {
	n.isTrusted = false
	n.doubts++
	n.doubt = why
	n.auditAt = 0
}

// see notes a message of the stream.
func (n *Node) see(seq uint64, id string) {
	if seq > n.seen {
		n.seen, n.seenID = seq, id
	}
	n.reached = max(n.reached, seq)
}

// contradict says that what came out of the stream is not in it: it went back, or somebody else has
// spoken in its place, which nobody can tell apart.
func (n *Node) contradict() {
	n.suspect(errSuspect)
	n.isDenied = true
}

// An audit is what a task found out about the stream.
type audit struct {
	was       trust // when this began
	epoch     Epoch
	revision  uint64
	isAnother bool // it is not the stream that it was
	isOurs    bool // the epoch is new, and of this node
	isFirst   bool // there was no epoch
	last      uint64
	mark      Epoch // its last message
	err       error
}

func (n *Node) audit(now time.Duration) {
	if !n.isUp || n.isAuditing || now < n.auditAt {
		return
	}
	if !n.isTrusted && n.epoch != "" && n.isAwaiting(now) {
		return
	}
	n.isAuditing = true
	a := audit{was: n.trust}
	n.mustStart = false
	n.start(func(q *requests) func() {
		if a.was.mustStart {
			a.err = q.prepare()
		}
		if a.err == nil {
			a.look(q)
		}
		return func() { n.audited(&a, now) }
	})
}

// look holds the stream against the epoch's message and against what this node has seen of it.
func (a *audit) look(q *requests) {
	if a.epoch, a.revision, a.err = q.epoch(); a.err != nil {
		return
	}
	var state State
	if state, a.err = q.state(); a.err != nil {
		return
	}
	if a.mark, a.err = lastOf(q, state); a.err != nil {
		return
	}
	was := &a.was
	a.last, a.isFirst = state.Last, a.epoch.Name == ""
	if a.revision >= was.revision && !a.isFirst && was.epoch != "" && a.epoch.Name != was.epoch {
		return // Another node has looked already. An older revision would have come back with the stream.
	}
	isSame := !was.isDenied && a.revision >= was.revision
	if isSame {
		isSame, a.err = a.isSame(q, state)
	}
	switch next := a.mark; {
	case a.err != nil:
	case a.isFirst:
		a.set(q, next, newName())
	case !isSame && was.suspicions == 0:
		a.isAnother = true
	case !isSame:
		a.set(q, next, newName())
	case a.mark.Seq > a.epoch.Seq:
		a.set(q, next, a.epoch.Name)
	}
}

// isSame reports whether the stream goes as far as it did, and the epoch's message, and the last
// one that this node has seen, are in it, or may have been dropped from it.
func (a *audit) isSame(q *requests, state State) (bool, error) {
	if max(a.epoch.Seq, a.was.reached) > state.Last {
		return false, nil
	}
	s, isThere, err := messageAt(q, a.epoch.Seq)
	if err != nil || isThere && s.Time != a.epoch.Time {
		return false, err
	}
	s, isThere, err = messageAt(q, a.was.seen)
	return err == nil && (!isThere || s.ID == a.was.seenID), err
}

// lastOf is the stream's last message, without a name; zero if it has none.
func lastOf(q *requests, state State) (Epoch, error) {
	if state.Last < state.First {
		return Epoch{}, nil
	}
	s, _, err := messageAt(q, state.Last)
	return Epoch{Seq: s.Seq, Time: s.Time}, err
}

// messageAt is the message at a sequence, if there is one.
func messageAt(q *requests, seq uint64) (s Stored, isThere bool, err error) {
	if seq == 0 {
		return Stored{}, false, nil
	}
	if s, err = q.at(seq); errors.Is(err, ErrNotFound) {
		return Stored{}, false, nil
	}
	return s, err == nil, err
}

// set replaces the epoch, or takes the one with which another node was faster.
func (a *audit) set(q *requests, next Epoch, name string) {
	next.Name = name
	switch a.err = q.setEpoch(next, a.revision); {
	case a.err == nil:
		a.isOurs = name != a.epoch.Name
		a.epoch = next
		a.revision++ // Or more: what is read later with less came back with the store.
	case errors.Is(a.err, ErrConflict):
		before := a.epoch.Name
		a.epoch, a.revision, a.err = q.epoch()
		a.isAnother = name != before && a.epoch.Name == before // Somebody has only refreshed it.
	}
}

// newName is a name that nobody has seen before.
func newName() string { return strings.ToLower(rand.Text()[:8]) }

// audited takes what an audit has found, which began at a time.
func (n *Node) audited(a *audit, at time.Duration) {
	n.isAuditing = false
	now := n.now()
	switch {
	case !n.isUp || n.mustStart: // The connection has gone since.
		n.auditAt = 0
	case a.err != nil:
		n.auditAt = now + retryTime
		n.mustStart = true // Perhaps there is no stream any more.
		n.doubt = a.err
		n.warn("audit", "the stream cannot be looked at", "error", a.err)
	case n.isDenied && !a.was.isDenied && a.epoch.Name == n.epoch: // Something was found since.
		n.auditAt = 0
	case a.isAnother:
		n.suspicions++
		n.suspect(errSuspect)
		n.auditAt = now + suspectTime
	case a.epoch.Name != n.epoch && !a.isOurs: // Another node's: what is known of it comes before it is gone by.
		n.suspect(errSuspect)
		n.takeEpoch(a)
		n.isStranger = n.isStranger && !a.isFirst
		n.audit(now)
	default:
		n.auditAt = now + auditTime
		n.trustIt(a, at)
	}
}

// trustIt goes on with the stream, in a new epoch if it is another one.
func (n *Node) trustIt(a *audit, at time.Duration) {
	n.suspicions = 0
	n.goodAt = max(n.goodAt, at)
	if a.epoch.Name != n.epoch {
		n.takeEpoch(a)
	}
	n.revision = a.revision
	n.reached = max(n.reached, a.last)
	if !n.isTrusted {
		n.isTrusted, n.isStranger, n.wasAway = true, false, false
		n.doubt = nil
		n.report()
		n.checkAll()
		n.startRooms()
		n.hurry()
		n.sendReady()
	}
	n.claim()
}

// takeEpoch begins anew: nothing of an older epoch counts.
func (n *Node) takeEpoch(a *audit) {
	isFirst := n.epoch == ""
	n.epoch, n.revision = a.epoch.Name, a.revision
	n.doubts++
	n.suspicions = 0
	n.seen, n.seenID, n.reached, n.isDenied = 0, "", 0, false
	n.recent, n.fitsTo = recent{}, 0
	for _, o := range n.known {
		n.believe(o)
	}
	if isFirst {
		n.o.Log.Info("cluster: the stream is there", "epoch", n.epoch)
		return
	}
	n.o.Log.Error("cluster: the stream is not what it was: everybody is told that continuity is lost", "epoch", n.epoch)
	n.counters.epochs.Add(1)
	n.broker.Forget()
	for _, r := range n.order {
		n.reset(r)
	}
}

// watchOutage tells rooms when the stream does not answer, and when it does again.
func (n *Node) watchOutage(now time.Duration) {
	if isOut := now-n.goodAt > outageTime; isOut != n.isOut {
		n.isOut = isOut
		n.rooms.Outage(isOut)
		n.report()
		if isOut {
			n.counters.outages.Add(1)
			n.o.Log.Error("cluster: the stream does not answer: publishers wait", "why", cmp.Or(n.doubt, errSilent))
		} else {
			n.o.Log.Info("cluster: the stream answers again")
		}
	}
}
