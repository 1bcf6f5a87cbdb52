package hub

import "time"

// JoinAt makes r a member of the named room, which is made if need be, from start on, in the
// bundle's encoding, and on its loop wherever the room is at home. r must not be in a room, nor the
// trunk have been told to Finish. The errors are those of Fanout.JoinAt.
func (k *Bundle) JoinAt(now time.Duration, room string, start Start, r *Reader) (Joined, error) {
	*r = Reader{bundle: k, isHeld: start.IsHeld}
	k.at = r
	start.IsHere = true
	j, err := k.fan().JoinAt(now, room, k.trunk.Encoding(), start, &r.m, (*readerClient)(r))
	k.at = nil
	if err != nil {
		*r = Reader{}
		return j, err
	}
	r.index = int32(len(k.readers))
	k.readers = append(k.readers, r)
	if r.m.IsBlocked() && !r.isHeld {
		k.push(r)
		k.schedule(false)
	}
	return j, nil
}

// Ready says that r, which joined with Start.IsHeld, may be handed what it has to get.
func (r *Reader) Ready() {
	if r.isHeld && r.IsIn() {
		r.isHeld = false
		r.bundle.push(r)
		r.bundle.schedule(false)
	}
}

// IsBlocked reports whether r has something to get that its connection does not take at present.
func (r *Reader) IsBlocked() bool { return r.m.IsBlocked() }

// IsCatchingUp reports whether r has begun behind the end and not come there yet, or is held.
func (r *Reader) IsCatchingUp() bool { return r.m.IsCatchingUp() }

// Lag returns how far r is behind at the time now.
func (r *Reader) Lag(now time.Duration) Lag { return r.m.Lag(now) }

// Behind is Member.Behind.
func (r *Reader) Behind() int64 { return r.m.Behind() }

// IsSlow reports whether r has become slow and has not caught up since.
func (r *Reader) IsSlow() bool { return r.m.isSlow }

// Publish is Member.Publish.
func (r *Reader) Publish(now time.Duration, msg Encoder) (seq uint64) {
	r.bundle.at = r
	seq = r.m.Publish(now, msg)
	r.bundle.at = nil
	return seq
}

// AwaitRoom is Member.AwaitRoom: true means that ReaderClient.Resume is called when r's turn has
// come.
func (r *Reader) AwaitRoom() (waits bool) {
	r.bundle.at = r
	waits = r.m.AwaitRoom()
	r.bundle.at = nil
	return waits
}

// EndTurn is Member.EndTurn.
func (r *Reader) EndTurn(hasMore bool) (waits bool) {
	r.bundle.at = r
	waits = r.m.EndTurn(hasMore)
	r.bundle.at = nil
	return waits
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

// await has r, which has something to get and which a round has met, wait for the bundle's turn.
func (r *Reader) await(now time.Duration) {
	k := r.bundle
	r.hasShare = false
	r.m.handed = waits
	k.push(r)
	if k.trunk.IsBlocked() {
		r.block(now)
		r.m.endTurn(now)
		return
	}
	if len(k.readers) == 1 { // There is no other to go out with.
		k.serve(false, now)
		return
	}
	k.schedule(!r.m.branch.hasMuch())
}

// block makes r blocked, with its bundle.
func (r *Reader) block(now time.Duration) {
	m := &r.m
	m.handed = 0
	if m.state != writable {
		return
	}
	m.took = now
	m.setState(blocked)
	m.branch.writable.Add(-1)
	m.branch.enterLog(m)
}

// Overrun implements Client.
func (c *readerClient) Overrun(rest Rest) {
	r, k := (*Reader)(c), c.bundle
	k.overruns++
	if r.m.Policy() == Disconnect {
		k.cut(rest)
		return
	}
	if len(rest.Bytes()) > 0 {
		k.keep(rest)
	}
	if k.isFinishing { // What it was to get is gone.
		r.Leave()
	}
}

// Rejoined implements Client.
func (c *readerClient) Rejoined(missed uint64, at Position) {
	c.bundle.overruns--
	c.bundle.told.Rejoined((*Reader)(c), missed, at)
}

// Reset implements Client.
func (c *readerClient) Reset(at Position) { c.bundle.told.Reset((*Reader)(c), at) }

// Spoiled implements Client: a connection that is in the middle of something of that room's cannot
// go on.
func (c *readerClient) Spoiled(bool) {
	r, k := (*Reader)(c), c.bundle
	isWhole := r.offer == 0 && k.canSendOwn() && !k.isInDoubt
	r.offer = 0
	k.remove(r)
	if k.client.Spoiled(isWhole); !isWhole && k.isIn() {
		k.leave()
	}
}

// Lagging implements Client.
func (c *readerClient) Lagging(isSlow bool) { c.bundle.told.Lagging((*Reader)(c), isSlow) }

// Resume implements Client.
func (c *readerClient) Resume() { c.bundle.told.Resume((*Reader)(c)) }

// Of the rest the bundle's client hears, or its trunk is asked.

func (c *readerClient) SendOwn(int) (sent int, isAll bool) { return 0, true }
func (c *readerClient) Refused()                           {}
func (c *readerClient) CaughtUp()                          {}
func (c *readerClient) Finished()                          {}
func (c *readerClient) Failed()                            {}
func (c *readerClient) Abort()                             {}
func (c *readerClient) Queued() (n int64, means Queued)    { return 0, QueuedUntold }
