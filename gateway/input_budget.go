package gateway

import (
	"container/heap"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"sluice/reactor"
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
	limit int           // bytes
	pace  time.Duration // that a byte may take
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
	of      reactor.Token // the connection
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

// hold notes that the connection of a token holds n bytes of memory now, bytes of input in them.
// whose it is is asked if that matters. More may be held then than may be, see isBeyond.
func (b *inputBudget) hold(a *portion, of reactor.Token, n, bytes int, now time.Duration, whose func() netip.Addr) {
	switch {
	case n == 0 && a.held == 0:
		return
	case n == 0:
		b.count(a, -a.held)
		b.leave(a)
		*a = portion{}
		return
	case a.held == 0:
		a.of, a.credit = of, now+assemblyCredit
		if 8*b.held > b.limit { // Before that it is no matter whose what is, and finding out is a system call.
			a.address = b.share(whose())
		}
	default:
		b.leave(a)
		came := bytes - a.bytes
		if came < 0 { // It is another message.
			came = bytes
		}
		a.credit = min(now+assemblyCredit, a.credit+time.Duration(came)*b.pace)
	}
	a.bytes, a.class = bytes, classOf(bytes)
	b.enter(a)
	b.count(a, n-a.held)
}

// isBeyond reports whether more is held than may be: whoever is to blame is to be closed.
func (b *inputBudget) isBeyond() bool { return b.held > b.limit }

// excuse lets the time for which it was we who did not read on cost no credit: when the connection
// is read on, and not before. Until then nobody knows when it gives back what it holds, so it pays
// before those who send on. Otherwise clients of rooms that are kept full could hold all there is.
func (b *inputBudget) excuse(a *portion, stopped time.Duration) {
	if a.held == 0 {
		return
	}
	b.leave(a)
	a.credit += stopped
	b.enter(a)
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

// enter and leave put a into the rankings, and take it out.
func (b *inputBudget) enter(a *portion) {
	heap.Push(b.all.class(a, ofAll), a)
	if s := a.address; s != nil {
		heap.Push(s.class(a, ofAddress), a)
	}
}

func (b *inputBudget) leave(a *portion) {
	heap.Remove(b.all.class(a, ofAll), a.places[ofAll])
	if s := a.address; s != nil {
		heap.Remove(s.class(a, ofAddress), a.places[ofAddress])
	}
}

// toBlame is what the connection holds that is to be closed. There is one: what they hold is beyond
// the limit.
func (b *inputBudget) toBlame(now time.Duration) *portion {
	if len(b.largest) > 0 && 2*b.largest[0].held > b.held {
		return b.largest[0].toBlame(now)
	}
	return b.all.toBlame(now)
}

// A ranking has portions by class of size, the one whose credit runs down first in front of each
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

func (r *ranking) toBlame(now time.Duration) (worst *portion) {
	var most float64
	for i := sizeClasses - 1; i >= 0; i-- {
		if r[i].Len() == 0 {
			continue
		}
		first := r[i].portions[0]
		if blame := first.blame(now); worst == nil || blame > most {
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
	portions []*portion
	which    int // of a portion's places is here
}

const (
	ofAll = iota
	ofAddress
)

func (l *lineup) Len() int { return len(l.portions) }

// Less goes by tokens where credit is equal: the same input is to have the same outcome.
func (l *lineup) Less(i, j int) bool {
	a, b := l.portions[i], l.portions[j]
	return a.credit < b.credit || a.credit == b.credit && a.of < b.of
}

func (l *lineup) Swap(i, j int) {
	p := l.portions
	p[i], p[j] = p[j], p[i]
	p[i].places[l.which], p[j].places[l.which] = i, j
}

func (l *lineup) Push(x any) {
	a := x.(*portion)
	a.places[l.which] = len(l.portions)
	l.portions = append(l.portions, a)
}

func (l *lineup) Pop() any {
	n := len(l.portions) - 1
	a := l.portions[n]
	l.portions[n] = nil
	l.portions = l.portions[:n]
	return a
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
