package gateway

import (
	"container/heap"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// An inputBudget bounds what the connections of one loop hold of input that is not finished:
// messages of which parts have come, and what a full room keeps from being decoded. Each loop has
// its share of --assembly-memory, so that nobody waits for another loop's answer; connections are
// spread evenly. One connection alone is never beyond it, see config.assemblyShare.
//
// Beyond the share one is closed, one read late at most. What counts is the memory that buffers
// take; who is to blame goes by what a client does. It has credit for a second when a message
// begins, which runs down as time goes by and is refilled, up to that, by each byte that comes: a
// client that sends as fast as the largest message must, to be whole within --assembly-timeout, has
// all of it. Blame is the bytes that a client has sent, times what it lacks of its credit: one that
// sends on fast has none, however much it sends, and one that stopped or dribbles has more and
// more. If one address holds more than half of all, the one to blame is one of its.
type inputBudget struct {
	limit int // bytes
	held  int
	shown atomic.Int64 // held, for others to read

	all       ranking
	addresses map[netip.Addr]*addressShare
	largest   addressHeap
}

// assemblyCredit is the most credit that a client can have.
const assemblyCredit = time.Second

// A portion is what the budget knows of a connection that holds something.
type portion struct {
	held    int           // bytes of memory that count for it
	bytes   int           // … that came
	credit  time.Duration // when its credit will have run down to nothing
	class   int           // of its bytes
	places  [2]int        // in the heaps that it is in: of all, and of its address
	address *addressShare // nil: it is nobody's in particular
}

// An addressShare is what the connections of one address hold together.
type addressShare struct {
	key   netip.Addr
	held  int
	place int // in the heap of addresses
	ranking
}

// hold notes that c holds n bytes of memory now, bytes of input in them.
func (b *inputBudget) hold(c *conn, n, bytes int) {
	a, now := &c.in.portion, c.w.loop.Now()
	switch {
	case n == 0 && a.held == 0:
		return
	case n == 0:
		b.count(a, -a.held)
		b.leave(c)
		*a = portion{}
		return
	case a.held == 0:
		a.credit = now + assemblyCredit
		if 8*b.held > b.limit { // Before that it is no matter whose what is, and finding out is a system call.
			a.address = b.share(c.inputKey())
		}
	default:
		b.leave(c)
		came := bytes - a.bytes
		if came < 0 { // It is another message.
			came = bytes
		}
		a.credit = min(now+assemblyCredit, a.credit+time.Duration(came)*c.w.cfg.assemblyPace())
	}
	a.bytes, a.class = bytes, classOf(bytes)
	b.enter(c)
	b.count(a, n-a.held)
	for b.held > b.limit {
		b.toBlame(now).close(ClosedAssembly)
	}
}

// excuse lets the time for which it was we who did not read on cost c no credit: when it is read
// on, and not before. Until then nobody knows when it gives back what it holds, so it pays before
// those who send on. Otherwise clients of rooms that are kept full could hold all there is.
func (b *inputBudget) excuse(c *conn, stopped time.Duration) {
	if c.in.portion.held == 0 {
		return
	}
	b.leave(c)
	c.in.portion.credit += stopped
	b.enter(c)
}

// count adds n bytes of memory to what is held.
func (b *inputBudget) count(a *portion, n int) {
	a.held += n
	b.held += n
	b.shown.Store(int64(b.held))
	if s := a.address; s != nil {
		if s.held += n; s.held == 0 {
			heap.Remove(&b.largest, s.place)
			delete(b.addresses, s.key)
		} else {
			heap.Fix(&b.largest, s.place)
		}
	}
}

// share is the one of an address; nil for the zero key.
func (b *inputBudget) share(key netip.Addr) *addressShare {
	if !key.IsValid() {
		return nil
	}
	s := b.addresses[key]
	if s == nil {
		s = &addressShare{key: key}
		b.addresses[key] = s
		heap.Push(&b.largest, s)
	}
	return s
}

// enter and leave put c into the rankings, and take it out.
func (b *inputBudget) enter(c *conn) {
	a := &c.in.portion
	heap.Push(b.all.class(a, ofAll), c)
	if s := a.address; s != nil {
		heap.Push(s.class(a, ofAddress), c)
	}
}

func (b *inputBudget) leave(c *conn) {
	a := &c.in.portion
	heap.Remove(b.all.class(a, ofAll), a.places[ofAll])
	if s := a.address; s != nil {
		heap.Remove(s.class(a, ofAddress), a.places[ofAddress])
	}
}

// toBlame is the connection to close. There is one: what they hold is beyond the limit.
func (b *inputBudget) toBlame(now time.Duration) *conn {
	if len(b.largest) > 0 && 2*b.largest[0].held > b.held {
		return b.largest[0].toBlame(now)
	}
	return b.all.toBlame(now)
}

// A ranking has connections by class of size, the one whose credit runs down first in front of each
// class: who is to blame is one of those in front, within the factor that a class is wide. To look
// at all for each that is closed would take a loop's time.
type ranking [sizeClasses]lineup

const sizeClasses = 8

// classOf is 0 for less than 256 bytes, and each of the others is eight times as wide.
func classOf(bytes int) int { return min(sizeClasses-1, (bits.Len(uint(bytes)>>8)+2)/3) }

// class is where a belongs. which says what the ranking is of.
func (r *ranking) class(a *portion, which int) *lineup {
	l := &r[a.class]
	l.which = which
	return l
}

func (r *ranking) toBlame(now time.Duration) (worst *conn) {
	var most float64
	for i := sizeClasses - 1; i >= 0; i-- {
		if r[i].Len() == 0 {
			continue
		}
		first := r[i].conns[0]
		if blame := first.in.portion.blame(now); worst == nil || blame > most {
			worst, most = first, blame
		}
	}
	return worst
}

// blame is that of its connection at the time now.
func (a *portion) blame(now time.Duration) float64 {
	return float64(a.bytes) * float64(now+assemblyCredit-a.credit)
}

// A lineup implements heap.Interface: one class of a ranking.
type lineup struct {
	conns []*conn
	which int // of a connection's places is here
}

const (
	ofAll = iota
	ofAddress
)

func (l *lineup) Len() int { return len(l.conns) }

// Less goes by tokens where credit is equal: the same input is to have the same outcome.
func (l *lineup) Less(i, j int) bool {
	a, b := l.conns[i], l.conns[j]
	return a.in.portion.credit < b.in.portion.credit || a.in.portion.credit == b.in.portion.credit && a.token < b.token
}

func (l *lineup) Swap(i, j int) {
	c := l.conns
	c[i], c[j] = c[j], c[i]
	c[i].in.portion.places[l.which], c[j].in.portion.places[l.which] = i, j
}

func (l *lineup) Push(x any) {
	c := x.(*conn)
	c.in.portion.places[l.which] = len(l.conns)
	l.conns = append(l.conns, c)
}

func (l *lineup) Pop() any {
	n := len(l.conns) - 1
	c := l.conns[n]
	l.conns[n] = nil
	l.conns = l.conns[:n]
	return c
}

// addressHeap implements heap.Interface, the address that holds most in front.
type addressHeap []*addressShare

func (h addressHeap) Len() int { return len(h) }
func (h addressHeap) Less(i, j int) bool {
	return h[i].held > h[j].held || h[i].held == h[j].held && h[i].key.Less(h[j].key)
}

func (h addressHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *addressHeap) Push(x any) {
	s := x.(*addressShare)
	s.place = len(*h)
	*h = append(*h, s)
}

func (h *addressHeap) Pop() any {
	n := len(*h) - 1
	s := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return s
}

// inputKey is whose input the connection's is: its address, of IPv6 the /64. The zero key is that
// of this machine and of trusted proxies, which connect for many.
func (c *conn) inputKey() netip.Addr {
	if key := c.key(); key.IsValid() {
		return key
	}
	from := c.address()
	if !c.w.server.admission.counts(from) {
		return netip.Addr{}
	}
	return addressKey(from)
}
