package cluster

import (
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

// trust says whether the stream is the one that it was. Its creation's time does not: a store that was lost or an older
// one that was copied back may have the same. So the epoch has a message that was there lately, which an audit looks for; and
// each node goes by what it has seen itself. While a node does not trust the stream, it reads, fetches and sends nothing.
//
//	Up, a suspicion ──▶ in doubt ──audit: the same──▶ trusted
//	                     │    ▲ (twice, a second apart)
//	                     └────┴─another──▶ a new epoch, all rooms reset ──▶ trusted
type trust struct {
	isTrusted  bool
	isUp       bool // there is a connection to ask
	isAuditing bool
	mustStart  bool   // Prepare is due
	epoch      string // empty: not known yet
	seen       Epoch  // a message that this node has seen; the name is not used
	auditAt    time.Duration
	suspicions int // audits in a row that found another stream
	goodAt     time.Duration
	isClosed   bool
	doubt      error // why it is not trusted
}

var (
	errStarting = errors.New("cluster: the stream has not been reached yet")
	errDown     = errors.New("cluster: no connection to the broker")
	errSuspect  = errors.New("cluster: the stream may not be what it was")
)

// distrust is called when the connection comes or goes.
func (n *Node) distrust(isUp bool) {
	n.isTrusted, n.isUp = false, isUp
	n.mustStart = true
	n.auditAt = 0
	if n.doubt = errStarting; !isUp {
		n.doubt = errDown
	}
	n.audit(n.now())
	n.report()
}

// suspect has an audit made before anything else.
func (n *Node) suspect() {
	n.isTrusted = false
	n.doubt = errSuspect
	n.auditAt = 0
}

// An audit is what a task found out about the stream.
type audit struct {
	epoch     Epoch
	isAnother bool  // it is not the stream that it was
	mark      Epoch // its last message
	err       error
}

func (n *Node) audit(now time.Duration) {
	if !n.isUp || n.isAuditing || now < n.auditAt {
		return
	}
	n.isAuditing = true
	task := audit{}
	name, seen, acked := n.epoch, n.seen, n.acked
	mustStart, isConfirmed := n.mustStart, n.suspicions > 0
	n.mustStart = false
	n.start(func(q *requests) func() {
		a := task
		if mustStart {
			a.err = q.prepare()
		}
		if a.err == nil {
			a.look(q, name, seen, acked, isConfirmed)
		}
		return func() { n.audited(&a, now) }
	})
}

// look holds the stream against the epoch's message and against what this node has seen of it.
func (a *audit) look(q *requests, name string, seen Epoch, acked uint64, isConfirmed bool) {
	var revision uint64
	if a.epoch, revision, a.err = q.epoch(); a.err != nil {
		return
	}
	var state State
	if state, a.err = q.state(); a.err != nil {
		return
	}
	if a.mark, a.err = lastOf(q, state); a.err != nil {
		return
	}
	if revision > 0 && name != "" && a.epoch.Name != name {
		return // Another node has looked already.
	}
	isSame := true
	for _, m := range []Epoch{a.epoch, seen} {
		if isSame && a.err == nil {
			isSame, a.err = isThere(q, state, m)
		}
	}
	if a.err != nil {
		return
	}
	isSame = isSame && acked <= state.Last
	switch next := a.mark; {
	case revision == 0:
		next.Name = newEpoch()
		a.set(q, next, 0)
	case !isSame && !isConfirmed:
		a.isAnother = true
	case !isSame:
		next.Name = newEpoch()
		a.set(q, next, revision)
	case a.mark.Seq > a.epoch.Seq:
		next.Name = a.epoch.Name
		a.set(q, next, revision)
	}
}

// lastOf is the stream's last message, without a name; zero if it has none.
func lastOf(q *requests, state State) (Epoch, error) {
	if state.Last < state.First {
		return Epoch{}, nil
	}
	s, err := q.at(state.Last)
	if errors.Is(err, ErrNotFound) {
		return Epoch{}, nil
	}
	return Epoch{Seq: s.Seq, Time: s.Time}, err
}

// isThere reports whether the message is in the stream, or may have been dropped from it.
func isThere(q *requests, state State, m Epoch) (bool, error) {
	if m.Seq == 0 {
		return true, nil
	}
	if m.Seq > state.Last {
		return false, nil
	}
	s, err := q.at(m.Seq)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return s.Time == m.Time, err
}

// set replaces the epoch, or takes the one with which another node was faster.
func (a *audit) set(q *requests, next Epoch, revision uint64) {
	switch a.err = q.setEpoch(next, revision); {
	case a.err == nil:
		a.epoch = next
	case errors.Is(a.err, ErrConflict):
		a.epoch, _, a.err = q.epoch()
	}
}

// newEpoch is a name that nobody has seen before.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }

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
	case a.isAnother:
		n.isTrusted = false
		n.suspicions++
		n.doubt = errSuspect
		n.auditAt = now + suspectTime
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
		n.setEpoch(a)
	}
	n.seen = a.mark
	if n.isTrusted {
		return
	}
	n.isTrusted = true
	n.doubt = nil
	n.report()
	n.checkAll()
	n.startRooms()
	n.sendReady()
}

func (n *Node) setEpoch(a *audit) {
	isFirst := n.epoch == ""
	n.epoch = a.epoch.Name
	if isFirst {
		n.o.Log.Info("cluster: the stream is there", "epoch", n.epoch)
		return
	}
	n.o.Log.Error("cluster: the stream is not what it was: everybody is told that continuity is lost", "epoch", n.epoch)
	n.counters.epochs.Add(1)
	n.acked = 0
	for drained := false; !drained; { // What is there is of the stream that was.
		select {
		case <-n.broker.Live():
		default:
			drained = true
		}
	}
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
			n.o.Log.Error("cluster: the stream does not answer: publishers wait", "why", n.doubt)
		} else {
			n.o.Log.Info("cluster: the stream answers again")
		}
	}
}
