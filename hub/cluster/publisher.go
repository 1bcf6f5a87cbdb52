package cluster

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sluice/hub"
)

// A publisher has what publishers hand over, of all rooms, until the stream has answered:
//
//	Publish ──▶ waiting: 1,024 messages or 64 KiB ──▶ one pack in flight ──▶ acknowledged
//	            full: Hold, ErrFull                     not sure: looked for, then sent again
//
// One pack in flight per room keeps a publisher's own order, whatever fails. Any goroutine hands
// over under the lock; packs in flight, and everything behind them, are the node's.
type publisher struct {
	mu       sync.Mutex
	lines    map[string]*line
	all      []*line // the same ones, for walks
	waiting  int     // packs, of all lines
	inFlight int
	ready    []*line // a pack waits, and none is in flight
	full     []*line // publishers are to be held, and are not
	held     map[*line]struct{}
	isShort  bool // cost has reached its bound, and not fallen well below it since
	acks     []ack
	cost     int64 // of all packs, in bytes
	isClosed bool

	hasNews atomic.Bool // there is something in ready that no Flush has told the node of
}

// A line is what one room has to publish. It is there as long as it has something, or holds
// publishers.
type line struct {
	room     string
	place    int // in publisher.all
	waiting  []*pack
	messages int // in waiting
	bytes    int // in waiting
	inFlight *pack
	isFull   bool // in publisher.full
	isHeld   bool // in publisher.held

	isTroubled bool // in Node.troubled: the pack in flight is to be sent again, or looked for. The node's
}

// A pack is messages that are sent together.
type pack struct {
	id       string // empty before it is sent, unless it has a key
	body     []byte
	messages int
	isAlone  bool
	waiters  []waiter
	told     int // of the waiters
	pace         // of its attempts
}

// A waiter wants to know what becomes of one message.
type waiter struct {
	index int
	since time.Duration
	done  func(hub.Position, error)
}

// A pace says what has become of a pack's attempts. The node's.
type pace struct {
	firstAt  time.Duration // when it was sent first
	sentAt   time.Duration // when it was sent last
	isUnsure bool          // an attempt may have been stored …
	unsureAt time.Duration // … the first of which was sent then
	floor    uint64        // where the stream was by then: it is stored behind that; zero with a key, which may be there already
	doubts   uint64        // as the node's when it was sent last
	epoch    string        // of the stream then: as with floor, before the first attempt in doubt
	retryAt  time.Duration
	pause    time.Duration
}

// An ack is the broker's answer to one attempt.
type ack struct {
	line *line
	pack *pack
	seq  uint64
	err  error
}

const (
	packCost   = 512 // what a pack takes beside its body
	waiterCost = 64  // what a message takes beside its bytes
)

func (p *pack) cost() int64 {
	return packCost + int64(len(p.body)) + waiterCost*int64(p.messages)
}

var packs = sync.Pool{New: func() any { return new(pack) }}

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
	if len(s.Payload) > n.messageMax() {
		return ErrTooLarge
	}
	p, now := &n.publisher, n.now()
	p.mu.Lock()
	mustHold, err := p.take(n, room, &s, key, done, now)
	p.mu.Unlock()
	if mustHold {
		n.wakeUp()
	}
	return err
}

// Flush has what was put go out. It may be called from any goroutine and never waits.
func (n *Node) Flush() {
	if n.publisher.hasNews.Load() && n.publisher.hasNews.Swap(false) {
		n.wakeUp()
	}
}

// messageMax is how large a payload may be, as far as the limits are known.
func (n *Node) messageMax() int {
	if n.o.Limit != nil {
		if limit := n.o.Limit(); limit > 0 {
			return min(limit, n.o.MessageBytesMax)
		}
	}
	return n.o.MessageBytesMax
}

// packMax is how large a pack of several messages may be: the broker takes none that is larger than
// a message may be, and leaves room for headers beside that. Before it has told its limit it is the
// smallest one that a broker may have.
func (n *Node) packMax() int {
	if n.o.Limit != nil && n.o.Limit() == 0 {
		return min(LimitMin, n.messageMax())
	}
	return min(packBytes, n.messageMax())
}

// take adds a message to what its room has waiting, and reports whether the room's publishers have
// to be held. The caller holds the lock.
func (p *publisher) take(n *Node, room string, s *hub.Source, key string, done func(hub.Position, error), now time.Duration) (mustHold bool, err error) {
	if p.isClosed {
		return false, ErrClosed
	}
	l := p.lines[room]
	if p.isShort || p.isFull(l) {
		return p.askHold(room, l, n.o.RoomsMax), ErrFull
	}
	if l == nil {
		l = p.open(room)
	}
	if len(l.waiting) == 0 && l.inFlight == nil {
		p.ready = append(p.ready, l)
		p.hasNews.Store(true)
	}
	before := len(l.waiting)
	p.cost += l.add(s, key, done, n.packMax(), now)
	p.waiting += len(l.waiting) - before
	p.isShort = p.cost >= n.o.PublishBytesMax
	if p.isShort || p.isFull(l) {
		mustHold = p.askHold(room, l, n.o.RoomsMax)
	}
	return mustHold, nil
}

// open makes a room's line. The caller holds the lock, as for close.
func (p *publisher) open(room string) *line {
	l := &line{room: room, place: len(p.all)}
	p.lines[room] = l
	p.all = append(p.all, l)
	return l
}

// close forgets a line that has nothing and holds nobody.
func (p *publisher) close(l *line) {
	delete(p.lines, l.room)
	last := len(p.all) - 1
	p.all[l.place] = p.all[last]
	p.all[l.place].place = l.place
	p.all[last] = nil
	p.all = p.all[:last]
}

// isFull reports whether a room takes nothing more. What it takes last may be as large as a message
// can be.
func (p *publisher) isFull(l *line) bool {
	return l != nil && (l.messages >= packMessages || l.bytes >= packBytes)
}

// askHold has the node hold the room's publishers. There are not more such rooms than a node may
// follow: publishers of others are refused only.
func (p *publisher) askHold(room string, l *line, roomsMax int) (isNew bool) {
	if l == nil {
		if len(p.held)+len(p.full) >= roomsMax {
			return false
		}
		l = p.open(room)
	}
	if l.isFull || l.isHeld {
		return false
	}
	l.isFull = true
	p.full = append(p.full, l)
	return true
}

// add puts a message into the last pack that waits or into a new one, and returns what it costs.
func (l *line) add(s *hub.Source, key string, done func(hub.Position, error), packMax int, now time.Duration) int64 {
	var p *pack
	if n := len(l.waiting); n > 0 && key == "" {
		p = l.waiting[n-1]
		if p.isAlone || p.messages == packMessages || len(p.body)+sizeOf(s) > packMax {
			p = nil
		}
	}
	before := int64(0)
	if p == nil {
		p = packs.Get().(*pack)
		*p = pack{body: p.body[:0], waiters: p.waiters[:0], isAlone: key != ""}
		if key != "" {
			p.id = "k/" + l.room + "/" + key // No boot id has a slash.
		}
		l.waiting = append(l.waiting, p)
	} else {
		before = p.cost()
	}
	bytes := len(p.body)
	p.body = appendMessage(p.body, s)
	if done != nil {
		p.waiters = append(p.waiters, waiter{p.messages, now, done})
	}
	p.messages++
	l.messages++
	l.bytes += len(p.body) - bytes
	return p.cost() - before
}

// launch makes the first pack that waits the one in flight. The caller holds the lock.
func (l *line) launch(boot string, number *uint64) *pack {
	p := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	l.messages -= p.messages
	l.bytes -= len(p.body)
	l.inFlight = p
	if p.id == "" {
		*number++
		p.id = boot + "." + strconv.FormatUint(*number, 10)
	}
	return p
}
