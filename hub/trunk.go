package hub

import (
	"slices"
	"time"
)

// What any member is asked, or told by its client, comes first: a trunk has its bundle answer.
// Behind that is what the bundle does when its readers leave or are overrun, and what it answers.

// Client is what stands behind m, or stood behind it when it left; behind a trunk, its bundle's.
func (m *Member) Client() Client {
	if c, ok := m.client.(*bundleClient); ok {
		return c.client
	}
	return m.client
}

// CanSendOwn reports whether m's client may write bytes of its own at this moment: nothing of the
// room's is with the transport, and the last frame was sent whole. One that is in no room may
// always.
func (m *Member) CanSendOwn() bool {
	switch {
	case m.branch == nil:
		return true
	case m.branch.isTrunks:
		return bundleOf(m).canSendOwn()
	}
	return m.handed == 0 && !m.cursor.isOverrun() && m.cursor.restOfFrame() == 0
}

// TookOwn says that m's client, which may be blocked, took n bytes that are not the room's.
func (m *Member) TookOwn(n int, now time.Duration) {
	if m.IsBlocked() {
		m.wrote(n, now)
		m.branch.setVisit(m) // Overrun, it counts again.
		if m.branch.isTrunks {
			bundleOf(m).visitOverrun()
		}
	}
}

// A Lag is how far a member is behind its room.
type Lag struct {
	Messages uint64        // one that is partly sent included
	Bytes    int64         // of its track
	Age      time.Duration // of the oldest message it has to send, about; zero when caught up
}

// Lag returns how far m is behind at the time now, in constant time. Overrun it is behind all that
// is retained.
func (m *Member) Lag(now time.Duration) Lag {
	switch {
	case m.branch.isSpeaker:
		return Lag{}
	case m.branch.isTrunks:
		return bundleOf(m).lag(now)
	}
	c := m.standing()
	hasMore := len(c.settle()) > 0
	seq := c.seq()
	// A frame is there a moment before its number is, and m may have it.
	lag := Lag{Messages: max(m.branch.room.next.Load(), seq) - seq, Bytes: m.branch.track.end.Load() - c.position()}
	if hasMore {
		lag.Age = max(0, now-c.stamp()) // The publisher's loop may count its pauses a little differently.
	}
	return lag
}

// Behind is how many bytes of its track m is behind, as Lag has it, without a look at the room.
func (m *Member) Behind() int64 {
	switch {
	case m.branch.isSpeaker:
		return 0
	case m.branch.isTrunks:
		return bundleOf(m).behind()
	}
	return max(0, m.branch.track.end.Load()-m.Position())
}

// IsSlow reports whether m has become slow and has not caught up since; a trunk, whether one of its
// readers has.
func (m *Member) IsSlow() bool {
	if m.branch.isTrunks {
		return bundleOf(m).isSlow()
	}
	return m.isSlow
}

// JudgeLag looks whether m has become slow. The hub does so whenever a round takes the blocked
// members in; m's client calls it when SlowAt has come, in case no round does.
func (m *Member) JudgeLag(now time.Duration) {
	switch {
	case m.branch.isTrunks:
		bundleOf(m).judgeLag(now)
	case !m.isBeyond():
		if m.vote != nil {
			m.vote.beyond = 0
		}
	case m.itsVote().beyond == 0:
		m.vote.beyond = max(now, 1)
	case !m.isSlow && now-m.vote.beyond >= slowAfter:
		m.isSlow = true
		m.branch.fan.stats.Slow++
		m.client.Lagging(true)
	}
}

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
	return k.fan().pins.add(nil, c.copyOfFrame()).rest(c.restOfFrame(), k.trunk.client)
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

// Leave ends the membership. Of a frame that is partly sent the rest is kept, and nothing goes out
// before it: see ReaderClient.KeepRest. Other members may have to be given up for that, this
// client's connection among them.
func (r *Reader) Leave() {
	if !r.IsIn() {
		return
	}
	k := r.bundle
	k.at = r
	hasRest := k.inFrame == r && r.offer == 0
	var rest Rest
	if hasRest && !r.Room().isSpoiled.Load() {
		rest = k.restFor(&r.m.cursor)
	}
	k.remove(r)
	r.m.leave()
	k.at = nil
	if k.isFinishing {
		k.schedule(false) // It may have been the last that had something to get.
	}
	if len(rest.Bytes()) > 0 {
		k.keep(rest)
		k.fan().fitPins()
	}
}

// remove takes r, which leaves, out of the bundle. What the transport has of it is still to be
// answered for: a copy of it stays in the rota until then.
func (k *Bundle) remove(r *Reader) {
	last := k.readers[len(k.readers)-1]
	k.readers[r.index], last.index = last, r.index
	k.readers[len(k.readers)-1] = nil
	k.readers = k.readers[:len(k.readers)-1]
	if r.m.cursor.isOverrun() {
		k.overruns--
	}
	if k.inFrame == r {
		k.inFrame = nil
	}
	if !r.isWaiting {
		return
	}
	var left *Reader
	if r.offer > 0 {
		left = &Reader{bundle: k, offer: r.offer, m: Member{cursor: r.m.cursor}}
	}
	k.replace(r, left)
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

func (c *bundleClient) SendOwn(limit int) (sent int, isAll bool) { return c.client.SendOwn(limit) }

func (c *bundleClient) Refused() { c.client.Refused() }

func (c *bundleClient) CaughtUp() { c.client.CaughtUp() }

func (c *bundleClient) Finished() { c.client.Finished() }

func (c *bundleClient) Failed() { c.client.Failed() }

func (c *bundleClient) Overrun(rest Rest) { c.client.Overrun(rest) }

func (c *bundleClient) Abort() { c.client.Abort() }

func (c *bundleClient) Queued() (n int64, means Queued) { return c.client.Queued() }

// Spoiled implements Client: the room of this loop's trunks is spoiled, which the trunk has left.
func (c *bundleClient) Spoiled(bool) {
	(*Bundle)(c).leaveRooms()
	c.client.Spoiled(false)
}

// A trunk reads nothing and publishes nothing.

func (c *bundleClient) Rejoined(uint64, Position) {}

func (c *bundleClient) Reset(Position) {}

func (c *bundleClient) Lagging(bool) {}

func (c *bundleClient) Resume() {}

func (k *Bundle) fan() *Fanout { return k.trunk.branch.fan }

// schedule has the bundle served by the loop's next Flush, or by the one that goes on, before those
// with more if what waits isLittle. A blocked one is served when it is ready.
func (k *Bundle) schedule(isLittle bool) {
	if !k.trunk.IsBlocked() {
		k.fan().bundles.push(k, isLittle)
	}
}
