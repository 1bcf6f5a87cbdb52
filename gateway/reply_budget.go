package gateway

import (
	"container/heap"
	"sync/atomic"
)

// A replyBudget bounds what the subscribers of one loop hold together of what was for each of them
// alone, most of it replies, and was not read. Options.ReplyBacklog bounds each of them, and says
// nothing of ten thousand. Each loop has its share, see config.replyShare.
//
// Beyond the share whoever holds most is cut, whatever it is due: a Close frame would wait behind
// what is not read, and keep the memory for as long. What counts is the memory that an outbox has
// taken since it was last empty. One of up to outboxKept counts for nothing: every connection may
// have that.
type replyBudget struct {
	limit   int // bytes
	held    int
	shown   atomic.Int64 // held, for others to read
	largest outboxHeap
}

// hold notes what c's outbox takes now. It closes nobody: it may be called from within the hub.
func (b *replyBudget) hold(c *conn) {
	o := c.own
	if o == nil || cap(o.bytes) <= max(outboxKept, o.held) || c.past != subscribes {
		return
	}
	wasHeld := o.held
	b.count(o, cap(o.bytes))
	if wasHeld == 0 {
		heap.Push(&b.largest, c)
	} else {
		heap.Fix(&b.largest, o.place)
	}
}

// release notes that c's outbox, if it still has one, takes nothing any more.
func (b *replyBudget) release(c *conn) {
	o := c.own
	if o == nil || o.held == 0 {
		return
	}
	heap.Remove(&b.largest, o.place)
	b.count(o, 0)
}

// count notes that an outbox takes n bytes.
func (b *replyBudget) count(o *outbox, n int) {
	b.held += n - o.held
	o.held = n
	b.shown.Store(int64(b.held))
}

// outboxHeap implements heap.Interface: connections by what their outboxes hold, the most in front.
type outboxHeap []*conn

func (h outboxHeap) Len() int { return len(h) }

// Less goes by tokens where as much is held: the same input is to have the same outcome.
func (h outboxHeap) Less(i, j int) bool {
	a, b := h[i].own.held, h[j].own.held
	return a > b || a == b && h[i].token < h[j].token
}

func (h outboxHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].own.place, h[j].own.place = i, j
}

func (h *outboxHeap) Push(x any) {
	c := x.(*conn)
	c.own.place = len(*h)
	*h = append(*h, c)
}

func (h *outboxHeap) Pop() any {
	n := len(*h) - 1
	c := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return c
}
