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

// take adds a message to what its room has waiting, and reports whether the room's publishers have
// to be held. The caller holds the lock.
func (p *publisher) take(o *Options, room string, s *hub.Source, key string, done func(hub.Position, error), now time.Duration) (mustHold bool, err error) {
	if p.isClosed {
		return false, ErrClosed
	}
	l := p.lines[room]
	if p.isShort || p.isFull(l) {
		return p.askHold(room, l, o.RoomsMax), ErrFull
	}
	if l == nil {
		l = p.open(room)
	}
	if len(l.waiting) == 0 && l.inFlight == nil {
		p.ready = append(p.ready, l)
		p.hasNews.Store(true)
	}
	before := len(l.waiting)
	p.cost += l.add(s, key, done, o.packMax(), now)
	p.waiting += len(l.waiting) - before
	p.isShort = p.cost >= o.PublishBytesMax
	if p.isShort || p.isFull(l) {
		mustHold = p.askHold(room, l, o.RoomsMax)
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

// askHold makes the node hold the room's publishers. There are not more such rooms than a node may
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

// release reports whether the room's publishers are held no more. The caller holds the lock.
func (p *publisher) release(l *line) bool {
	if l.messages > packMessages/2 || l.bytes > packBytes/2 {
		return false
	}
	l.isHeld = false
	delete(p.held, l)
	if l.inFlight == nil && len(l.waiting) == 0 && !l.isFull {
		p.close(l)
	}
	return true
}

func (l *line) takeLate(late []waiter, since time.Duration) []waiter {
	if l.inFlight != nil {
		late = l.inFlight.takeLate(late, since)
	}
	for _, k := range l.waiting {
		late = k.takeLate(late, since)
	}
	return late
}

// takeLate appends the waiters that have been there since a time or longer, and have not been told.
func (k *pack) takeLate(late []waiter, since time.Duration) []waiter {
	from := k.told
	for k.told < len(k.waiters) && k.waiters[k.told].since <= since {
		k.told++
	}
	return append(late, k.waiters[from:k.told]...)
}

// release gives the pack's memory back, unless it was for one large message.
func (k *pack) release() {
	clear(k.waiters)
	if cap(k.body) <= 2*packBytes {
		packs.Put(k)
	}
}

// becomeUnsure notes that the attempt that was made last may have been stored, from when on the
// stream knows its id for a while.
func (k *pack) becomeUnsure() {
	if !k.isUnsure {
		k.isUnsure, k.unsureAt = true, k.sentAt
	}
}
