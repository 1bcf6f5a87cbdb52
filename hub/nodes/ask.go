package nodes

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/hub"
)

const (
	// asksMax is how many questions may wait for answers at a time, answersMax how many of others'
	// are answered at a time: those beyond it count as not answered, at once.
	asksMax    = 256
	answersMax = 64
	// askTime is how long other nodes have to answer at most.
	askTime = 3 * time.Second
)

// ErrAsks is the error of a question that is not put: too many wait for answers already.
var ErrAsks = errors.New("nodes: too many questions to other nodes wait for their answers")

// asks are the questions of this node that wait for answers, and how many of others' it answers.
type asks struct {
	answering sync.WaitGroup
	slots     chan struct{} // one in it for each that is being answered

	askMu   sync.Mutex // beside Nodes.mu, never inside or around it
	lastID  uint64
	waiting map[uint64]*asking
}

// An asking is a question that waits.
type asking struct {
	id    uint64
	asked int             // nodes
	left  map[string]bool // nodes that have yet to answer
	got   []hub.NodeAnswer
	done  chan struct{} // closed when none is left
}

// Ask puts a question, which is JSON, to all other nodes, and waits for their answers: until ctx
// ends, or askTime has passed, or all that are there have answered. Of a node that does not answer
// there is no answer, and NodeAnswers.Asked tells of it. The error is ErrAsks.
func (n *Nodes) Ask(ctx context.Context, what []byte) (hub.NodeAnswers, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	a, err := n.beginAsking()
	if err != nil || a.asked == 0 {
		return hub.NodeAnswers{}, err
	}
	if n.send(everyone, &note{Question: &question{a.id, what}}) {
		select {
		case <-a.done:
		case <-ctx.Done():
		}
	}
	got := n.endAsking(a)
	n.counts.asked.Add(1)
	if !errors.Is(ctx.Err(), context.Canceled) { // Or who asks has gone, which is no fault of those who were asked.
		n.counts.unanswered.Add(uint64(a.asked - len(got)))
	}
	return hub.NodeAnswers{Asked: a.asked, From: got}, nil
}

// beginAsking has the nodes that are there waited for.
func (n *Nodes) beginAsking() (*asking, error) {
	a := &asking{left: map[string]bool{}, done: make(chan struct{})}
	n.mu.RLock()
	for id := range n.peers {
		a.left[id] = true
	}
	n.mu.RUnlock()
	a.asked = len(a.left)
	n.askMu.Lock()
	defer n.askMu.Unlock()
	if len(n.waiting) >= asksMax {
		return nil, ErrAsks
	}
	if a.asked > 0 {
		n.lastID++
		a.id = n.lastID
		n.waiting[a.id] = a
	}
	return a, nil
}

// endAsking returns what was answered. What comes later comes too late.
func (n *Nodes) endAsking(a *asking) []hub.NodeAnswer {
	n.askMu.Lock()
	defer n.askMu.Unlock()
	delete(n.waiting, a.id)
	return a.got
}

// takeAnswer takes in what a node has answered.
func (n *Nodes) takeAnswer(from string, r *answer) {
	n.askMu.Lock()
	defer n.askMu.Unlock()
	a := n.waiting[r.ID]
	if a == nil || !a.left[from] {
		return
	}
	if r.What != nil {
		a.got = append(a.got, hub.NodeAnswer{Node: from, Data: r.What})
	}
	a.noLonger(from)
}

// missed has nobody wait for a node that is gone.
func (n *Nodes) missed(id string) {
	n.askMu.Lock()
	defer n.askMu.Unlock()
	for _, a := range n.waiting {
		a.noLonger(id)
	}
}

// noLonger has a node not be waited for.
func (a *asking) noLonger(id string) {
	if !a.left[id] {
		return
	}
	if delete(a.left, id); len(a.left) == 0 {
		close(a.done)
	}
}

// answerTo has another node's question answered.
func (n *Nodes) answerTo(ctx context.Context, from string, q *question) {
	reply := func(what []byte) {
		r := &note{Answer: &answer{q.ID, what}}
		if !n.send(toOne+from, r) && what != nil { // It is too large, maybe: nothing is what there is place for.
			r.Answer.What = nil
			n.send(toOne+from, r)
		}
	}
	select {
	case n.slots <- struct{}{}:
	default:
		reply(nil)
		return
	}
	n.answering.Go(func() {
		defer func() { <-n.slots }()
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		reply(n.local.Answer(ctx, q.What))
	})
}

// Tell tells all other nodes something, which is JSON. Nobody answers, and it may be lost. It waits
// for nobody, not for the broker either, so loops may call it.
func (n *Nodes) Tell(what []byte) {
	select {
	case n.tells <- what:
	default:
		n.counts.unsent.Add(1)
	}
}
