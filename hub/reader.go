package hub

import "time"

// Join makes r a member of the named room, which is made if need be, from start on, in the
// bundle's encoding, and on its loop wherever the room is at home. r must not be in a room, nor the
// trunk have been told to Finish. The errors are those of Fanout.Join.
func (k *Bundle) Join(now time.Duration, room string, start Start, r *Reader) (Joined, error) {
	*r = Reader{bundle: k, isHeld: start.IsHeld}
	k.at = r
	start.IsHere = true
	j, err := k.fan().Join(now, room, k.trunk.Encoding(), start, &r.m, (*readerClient)(r))
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
