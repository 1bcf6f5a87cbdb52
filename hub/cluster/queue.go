package cluster

import "time"

const (
	repairPause    = 10 * time.Millisecond
	repairPauseMax = time.Second
)

// enqueue has a task started for a room.
func (n *Node) enqueue(r *room) {
	r.retryAt = 0
	if !r.isQueued && !r.isBusy {
		r.isQueued = true
		n.queue = append(n.queue, r)
	}
}

// rest has a task started for a room a little later, and longer the more often that was in vain.
func (n *Node) rest(r *room) {
	r.tries++
	r.retryAt = n.now() + min(repairPause<<min(r.tries, 6), repairPauseMax)
	if !r.isQueued && !r.isBusy {
		r.isQueued = true
		n.resting = append(n.resting, r)
	}
}
