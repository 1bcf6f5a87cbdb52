package hub

import (
	"math"
	"slices"
	"time"
)

// A Bundle is one client's readers in several rooms, which share its connection:
//
//	room a ──sweep──▶ reader ─┐
//	room b ──sweep──▶ reader ─┼─▶ rota ──gather──▶ one delivery ──▶ answer ─▶ the readers' cursors
//	room c ──sweep──▶ reader ─┘     in the trunk's turn, behind the sweeps
//
// Its *trunk* is a member that stands for the connection: it is blocked and ready, it votes, its
// client's own bytes go out between two frames of the rooms'. It hears no room and is in a branch
// with the other trunks of its loop. A round that comes to a reader which has something to get has
// it wait in the rota, and counts it when the bundle has had its turn. So one tick is one delivery,
// whatever it is that its rooms have published.
//
// It belongs to the client's loop, like its readers. The zero Bundle is empty.
type Bundle struct {
	trunk   *Member
	client  Client       // the trunk's
	told    ReaderClient // … and its readers'
	readers []*Reader    // each at its index

	front, back *Reader // of the rota: readers that have something to get
	waiting     int32   // how many are in it
	parts       int32   // of them, in front, those that the transport has bytes of
	overruns    int32   // readers that stand nowhere in their logs
	inFrame     *Reader // whose frame the connection is in the middle of
	at          *Reader // the one that is dealt with, for a panic

	queued      queuedBy // on its fanout's queues of bundles
	isForLittle bool     // its turn is for the sake of readers with little to get
	isFinishing bool
	isCut       bool // overrun where the policy says Disconnect, and to end with the transport's answer
	isInDoubt   bool // a panic passed it
}

// A ReaderClient hears of a bundle's readers what concerns one of them alone; what concerns the
// connection its Client hears: Refused, CaughtUp, Failed, Finished, Spoiled, Abort, and Overrun
// where the policy of one of its rooms is Disconnect. It is called on the bundle's loop. Each call
// may end the connection, and make the reader leave that it names, but no other one.
type ReaderClient interface {
	// KeepRest gives what is left of a frame whose reader leaves or is overrun. It goes out before
	// anything else, by Client.SendOwn, which the hub calls.
	KeepRest(rest Rest)
	// Rejoined says that a reader, which was overrun, goes on behind this position, and how many
	// messages it has missed. What the client sends of its own meanwhile, and could not send at
	// once, goes first.
	Rejoined(r *Reader, missed uint64, at Position)
	// Reset says that a reader's room has begun anew, and goes on behind this position.
	Reset(r *Reader, at Position)
	// Lagging says that a reader has become slow, and that it has caught up again.
	Lagging(r *Reader, isSlow bool)
	// Resume says that the turn has come of a reader that AwaitRoom or EndTurn let wait.
	Resume(r *Reader)
}

// JoinBundle makes m the trunk of k, which has no readers yet: they join by Bundle.JoinAt, and read
// the encoding e, which must be IsBundled. m must not be in a room.
func (f *Fanout) JoinBundle(k *Bundle, m *Member, e Encoding, client Client, readers ReaderClient) {
	*k = Bundle{trunk: m, client: client, told: readers, queued: k.queued}
	b := f.trunksOf(e)
	m.client, m.owedTo, m.branch = (*bundleClient)(k), withoutEnd, b
	m.cursor = b.track.atOldest()
	m.setState(writable)
	b.add(m)
}

// trunksOf is the branch of this loop's trunks whose readers read e, in a room that is in no
// directory and in which nothing is published.
func (f *Fanout) trunksOf(e Encoding) *branch {
	if b := f.trunks[e]; b != nil && !b.room.isSpoiled.Load() {
		return b
	}
	r := &Room{hub: f.hub}
	r.log.init(f.hub.limits.Backlog, nil)
	r.next.Store(r.log.next)
	t := &track{encoding: e}
	t.open(r.log.next)
	b := &branch{room: r, track: t, fan: f, isTrunks: true}
	r.branches = []*branch{b}
	f.trunks[e] = b
	return b
}

// bundleOf is the bundle of a member that is its trunk.
func bundleOf(m *Member) *Bundle { return (*Bundle)(m.client.(*bundleClient)) }

// voter is whose kernel is asked for m: its own, or its bundle's.
func (m *Member) voter() *Member {
	if m.branch.isBundled {
		return readerOf(m).bundle.trunk
	}
	return m
}

// Len is how many readers the bundle has.
func (k *Bundle) Len() int { return len(k.readers) }

func (k *Bundle) isIn() bool { return k.trunk.branch != nil }

func (k *Bundle) fan() *Fanout { return k.trunk.branch.fan }

// schedule has the bundle served by the loop's next Flush, or by the one that goes on, before those
// with more if what waits isLittle. A blocked one is served when it is ready.
func (k *Bundle) schedule(isLittle bool) {
	if !k.trunk.IsBlocked() {
		k.fan().bundles.push(k, isLittle)
	}
}

// canSendOwn is Member.CanSendOwn of the trunk.
func (k *Bundle) canSendOwn() bool { return k.trunk.handed == 0 && k.inFrame == nil }

// keep gives the client what is left of the frame that the connection is in the middle of.
func (k *Bundle) keep(rest Rest) {
	k.inFrame = nil
	k.trunk.hasOwn = true
	k.told.KeepRest(rest)
	k.schedule(false)
}

// cut ends a bundle of which a reader is overrun where the policy says Disconnect. rest is what is
// left of that one's frame.
func (k *Bundle) cut(rest Rest) {
	if k.trunk.handed != 0 { // It is not known yet what is left of a frame.
		k.isCut = true
		return
	}
	if r := k.inFrame; r != nil && len(rest.Bytes()) == 0 {
		rest = k.restFor(&r.m.cursor)
	}
	k.inFrame = nil
	if k.client.Overrun(rest); k.isIn() {
		k.leave()
	}
}

// restFor keeps what has yet to be sent of the frame that a reader was in the middle of, which its
// room's account has ended already.
func (k *Bundle) restFor(c *cursor) Rest {
	p := k.fan().pin(nil, c.copyOfFrame())
	return Rest{left: p.frame[len(p.frame)-c.restOfFrame():], pin: p, place: p.holders.PushBack(k.trunk)}
}

// finish is Member.Finish of the trunk: readers leave when they have what they are to get.
func (k *Bundle) finish(upTo int64) {
	if upTo != math.MinInt64 {
		upTo = withoutEnd
	}
	k.isFinishing = true
	for i := len(k.readers) - 1; i >= 0; i-- {
		r := k.readers[i]
		m := &r.m
		m.endAt(upTo)
		r.Ready()
		if m.cursor.isOverrun() || r.offer == 0 && r.isDone() {
			r.Leave()
		}
	}
	k.checkFinished()
}

// checkFinished tells the client when it has got all that it was to.
func (k *Bundle) checkFinished() {
	if k.isFinishing && len(k.readers) == 0 && !k.trunk.hasOwn && k.canSendOwn() {
		k.client.Finished()
	}
}

// leave ends the trunk's membership, and with it those of all readers.
func (k *Bundle) leave() {
	k.leaveRooms()
	m := k.trunk
	b, wasMet := m.branch, m.isMet
	b.remove(m)
	m.setState(outside)
	*m = Member{took: m.took, client: m.client}
	if wasMet {
		b.closeTurn()
	}
}

func (k *Bundle) leaveRooms() {
	for n := len(k.readers); n > 0; n = len(k.readers) {
		r := k.readers[n-1]
		k.readers = k.readers[:n-1]
		r.isWaiting, r.next, r.offer = false, nil, 0
		r.m.leave()
	}
	k.readers, k.front, k.back, k.waiting, k.parts, k.inFrame, k.at = nil, nil, nil, 0, 0, nil, nil
}

// lag is Member.Lag of the trunk: of all readers together.
func (k *Bundle) lag(now time.Duration) (all Lag) {
	for _, r := range k.readers {
		one := r.m.Lag(now)
		all.Messages += one.Messages
		all.Bytes += one.Bytes
		all.Age = max(all.Age, one.Age)
	}
	return all
}

// behind is Member.Behind of the trunk.
func (k *Bundle) behind() (all int64) {
	for _, r := range k.readers {
		all += r.m.Behind()
	}
	return all
}

// isSlow is Member.IsSlow of the trunk.
func (k *Bundle) isSlow() bool {
	return slices.ContainsFunc(k.readers, func(r *Reader) bool { return r.m.isSlow })
}

// judgeLag is Member.JudgeLag of the trunk.
func (k *Bundle) judgeLag(now time.Duration) {
	for i := 0; i < len(k.readers); i++ {
		k.readers[i].m.JudgeLag(now)
	}
}

// visitOverrun says to rounds that the readers which are overrun count again: the connection has
// taken bytes.
func (k *Bundle) visitOverrun() {
	for i := 0; k.overruns > 0 && i < len(k.readers); i++ {
		if m := &k.readers[i].m; m.cursor.isOverrun() {
			m.branch.setVisit(m)
		}
	}
}

// inDoubt returns the rooms that a panic has left in doubt, none if no reader was dealt with. The
// bundle's connection is not to be told anything in order.
func (k *Bundle) inDoubt() (rooms []*Room) {
	k.isInDoubt = true
	if r := k.at; r != nil && r.IsIn() {
		return []*Room{r.Room()}
	}
	for _, r := range k.readers {
		rooms = append(rooms, r.Room())
	}
	return rooms
}

// inFlight returns the rooms of which the transport has bytes, or had when it panicked.
func (k *Bundle) inFlight() (rooms []*Room) {
	r := k.front
	for range k.parts {
		k.isInDoubt = true
		if r.IsIn() {
			rooms = append(rooms, r.Room())
		}
		r = r.next
	}
	return rooms
}

// A bundleClient is a bundle as its trunk's client.
type bundleClient Bundle

func (c *bundleClient) SendOwn(limit int) (sent int, isAll bool) { return c.client.SendOwn(limit) }
func (c *bundleClient) Refused()                                 { c.client.Refused() }
func (c *bundleClient) CaughtUp()                                { c.client.CaughtUp() }
func (c *bundleClient) Finished()                                { c.client.Finished() }
func (c *bundleClient) Failed()                                  { c.client.Failed() }
func (c *bundleClient) Overrun(rest Rest)                        { c.client.Overrun(rest) }
func (c *bundleClient) Abort()                                   { c.client.Abort() }
func (c *bundleClient) Queued() (n int64, means Queued)          { return c.client.Queued() }

// Spoiled implements Client: the room of this loop's trunks is spoiled, which the trunk has left.
func (c *bundleClient) Spoiled(bool) {
	(*Bundle)(c).leaveRooms()
	c.client.Spoiled(false)
}

// A trunk reads nothing and publishes nothing.

func (c *bundleClient) Rejoined(uint64, Position) {}
func (c *bundleClient) Reset(Position)            {}
func (c *bundleClient) Lagging(bool)              {}
func (c *bundleClient) Resume()                   {}
