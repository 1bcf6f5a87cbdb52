package cluster

import "sluice/hub"

// Publish hands a message to its room's order. It may be called from any goroutine and never waits;
// s is copied. A key, if there is one, is a client's own for the message in its room: what was
// published with it within the last two minutes is not published again, by any node.
//
// done, which may be nil, is called once by the node's goroutine, and must not wait: with the
// message's position in the stream, or an error. ErrTimeout comes after Options.PublishTimeout and
// says nothing yet: the node goes on trying for up to 90 seconds. ErrUnknown says that it gave up
// or ended, and ErrRefused, which is hub.ErrTooLarge too, and ErrClosed that the message is not in
// the stream.
//
// Errors at once, after which done is not called: ErrFull, for which publishers wait until
// Rooms.Hold says that they need not; ErrTooLarge; ErrClosed.
func (n *Node) Publish(room string, s hub.Source, key string, done func(hub.Position, error)) error {
	err := n.Put(room, s, key, done)
	n.Flush()
	return err
}

// Put is Publish for who has more at hand: all of it goes out with the next Flush, and so in as few
// packs as may be. A room that is full does not wait for that, nor what is behind a pack that is
// acknowledged meanwhile. Without a Flush it takes up to 100 ms.
func (n *Node) Put(room string, s hub.Source, key string, done func(hub.Position, error)) error {
	if len(s.Payload) > n.o.messageMax() {
		return ErrTooLarge
	}
	p, now := &n.publisher, n.now()
	p.mu.Lock()
	mustHold, err := p.take(&n.o, room, &s, key, done, now)
	p.mu.Unlock()
	if mustHold {
		n.wakeUp()
	}
	return err
}

// Flush sends what was put. It may be called from any goroutine and never waits.
func (n *Node) Flush() {
	if n.publisher.hasNews.Load() && n.publisher.hasNews.Swap(false) {
		n.wakeUp()
	}
}
