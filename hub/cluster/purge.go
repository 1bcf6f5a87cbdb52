package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
)

// An anchor is a pack without messages. It stands in the stream for what was removed before it, so
// that the room still has a last message, and nobody takes the removal for a loss.
var anchor = []byte{packVersion, 0, 0}

// Purge removes all that the stream keeps of a room; what gateways keep of it they have to be told
// to forget. What is published meanwhile may stay. It may be called from any goroutine, and waits
// for the broker as long as ctx says. After an error it may be done or not, and can be done again.
func (n *Node) Purge(ctx context.Context, room string) error {
	type answer struct {
		seq uint64
		err error
	}
	answers := make(chan answer, 1)
	n.broker.Publish(room, n.boot+".purge."+rand.Text(), anchor, func(seq uint64, err error) { answers <- answer{seq, err} })
	select {
	case a := <-answers:
		if a.err != nil {
			return fmt.Errorf("cluster: a room is not purged: %w", a.err)
		}
		return n.broker.Purge(ctx, room, a.seq)
	case <-ctx.Done():
		return ctx.Err()
	}
}
