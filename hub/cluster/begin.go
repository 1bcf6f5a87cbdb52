package cluster

import "time"

// wakeRooms enqueues the rooms whose rest is over.
func (n *Node) wakeRooms(now time.Duration) {
	kept := n.resting[:0]
	for _, r := range n.resting {
		if now >= r.retryAt {
			n.queue = append(n.queue, r)
		} else {
			kept = append(kept, r)
		}
	}
	clear(n.resting[len(kept):])
	n.resting = kept
	n.startRooms()
}

// startRooms starts tasks for rooms that wait for one. While the stream is in doubt none is.
func (n *Node) startRooms() {
	for n.isTrusted && n.running < n.o.OpeningsMax && len(n.queue) > 0 {
		r := n.queue[0]
		n.queue[0] = nil
		n.queue = n.queue[1:]
		r.isQueued = false
		switch {
		case r.isGone || r.state == live:
			continue
		case r.state == opening:
			n.begin(r, n.fetchOpening(r))
		default:
			n.begin(r, n.fetchHole(r))
		}
	}
}

// begin starts a task for a room, whose answer is void if the room has moved on, or the stream has
// come into doubt.
func (n *Node) begin(r *room, t task) {
	r.isBusy = true
	n.running++
	version, doubts := r.version, n.doubts
	n.start(func(q *requests) func() {
		answer := t(q)
		return func() {
			n.running--
			r.isBusy = false
			if r.version == version && !r.isGone && n.doubts == doubts {
				answer()
			} else if !r.isGone && r.state != live {
				n.enqueue(r)
			}
			n.startRooms()
		}
	})
}
