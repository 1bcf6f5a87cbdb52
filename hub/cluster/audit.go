package cluster

import (
	"errors"
	"time"
)

const (
	auditTime   = 5 * time.Second        // between audits, and how old the epoch's message is at most
	suspectTime = time.Second            // before a suspicion is looked into again, and acted upon
	retryTime   = 500 * time.Millisecond // before an audit that failed
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
	n.recent = recent{}
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
