package nodes

import (
	"context"
	"time"
)

// Run tells the other nodes of local, and hears them, until ctx ends; then it takes its leave.
func (n *Nodes) Run(ctx context.Context, local Local) error {
	notes := make(chan []byte, notesMax)
	stop, err := n.bus.Listen(notes, everyone, toOne+n.id)
	if err != nil {
		return err
	}
	defer stop()
	n.begin(local)
	defer n.answering.Wait()
	defer n.leave()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	n.beat()
	for {
		select {
		case p := <-notes:
			n.take(ctx, p)
		case what := <-n.tells:
			n.send(everyone, &note{Tell: &telling{what}})
		case <-beat.C:
			n.hear(ctx, notes)
			n.beat()
		case <-ctx.Done():
			return nil
		}
	}
}

// begin makes the node be this gateway.
func (n *Nodes) begin(local Local) { n.local, n.wantsAll = local, true }

// hear takes the notes that have come already, as many as there may be: a node that was not read
// for a while is not gone for that.
func (n *Nodes) hear(ctx context.Context, notes <-chan []byte) {
	for range notesMax {
		select {
		case p := <-notes:
			n.take(ctx, p)
		default:
			return
		}
	}
}

// leave says that the node is gone.
func (n *Nodes) leave() { n.send(everyone, &note{Leaves: true}) }

// take does what a note is for.
func (n *Nodes) take(ctx context.Context, p []byte) {
	what, ok := unpack(p)
	switch {
	case !ok:
		n.counts.refused.Add(1)
		if now := n.o.Elapsed(); n.complained == 0 || now-n.complained >= complainEvery {
			n.complained = now
			n.o.Log.Warn("a note of another node is not understood: it is of another version, or of a stranger", "bytes", len(p), "version", what.Version)
		}
	case what.From == n.id:
	case what.Report != nil:
		n.takeReport(what.From, what.Report)
	case what.Resend:
		n.wantsAll = true
	case what.Question != nil:
		n.answerTo(ctx, what.From, what.Question)
	case what.Answer != nil:
		n.takeAnswer(what.From, what.Answer)
	case what.Tell != nil:
		n.local.Told(what.Tell.What)
	case what.Leaves:
		n.forget(what.From, "it has left")
	}
}

// beat lets go of those who are silent, and says what is new.
func (n *Nodes) beat() {
	now := n.o.Elapsed()
	for _, id := range n.silent(now) {
		n.forget(id, "nothing was heard of it")
	}
	if now >= n.restUntil {
		n.say(now)
		took := n.o.Elapsed() - now
		n.restUntil = now + min(took*beatShare, restMax)
	}
}

// silent are those of whom nothing was heard for too long.
func (n *Nodes) silent(now time.Duration) (ids []string) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for id, p := range n.peers {
		if now-p.heard > silenceMax {
			ids = append(ids, id)
		}
	}
	return ids
}

// forget makes a node be gone.
func (n *Nodes) forget(id, why string) {
	n.mu.Lock()
	p := n.peers[id]
	if p != nil {
		delete(n.peers, id)
		n.known -= len(p.rooms) + len(p.next)
	}
	n.mu.Unlock()
	if p == nil {
		return
	}
	n.counts.gone.Add(1)
	n.missed(id)
	n.o.Log.Info("a node is gone", "node", p.info.Name, "id", id, "why", why, "rooms", len(p.rooms))
}
