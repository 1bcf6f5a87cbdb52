//go:build linux

package gateway

import (
	"runtime"
	"slices"
	"time"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A connView is what was known of one of the gateway's connections when its loop began its last
// tick.
type connView struct {
	c         *conn
	link      int
	client    *simClient
	stream    *simStream    // of a reader of events
	socket    *simSocket    // of a subscriber …
	pinged    time.Duration // … since when it owes a pong
	shares    map[*subscription]simShare
	isBlocked bool // at the last look
	room      *hub.Room
	track     hub.Encoding
	position  int64
	isPaused  bool
	isKnown   bool          // its reason has been judged
	took      time.Duration // when it last took bytes, written or acknowledged

	held     int // bytes of its unfinished input …
	bytes    int // … that came
	credit   time.Duration
	hadStash bool  // … of which some wait to be decoded, or inflated; or lie behind its request, and do not count yet
	pin      *byte // the end of the dropped frame that it is in …
	pinned   int   // … and the step at which it was first seen in it
}

// inspect looks at a loop that is about to wait, with eyes that the product does not have.
func (w *world) inspect(l *simLoop) {
	if !l.isAsleep && !l.hasEnded || w.Err != nil {
		return
	}
	if n := w.newGoroutines(); n > 0 {
		w.Fail("%d goroutines more than at the start", n)
	}
	if got, want := l.w.loop.Stats().StaleEvents, uint64(w.Kernel.Stale(l.epfd)); got < want && l.hasRun {
		w.Fail("of %d stale events the loop noticed %d", want, got)
	}
	w.longest = max(w.longest, w.Kernel.Now()-l.began)
	for t, source := range l.w.loop.Sources {
		if c, ok := source.(*conn); ok {
			w.inspectConn(l, c, uint64(t))
		}
	}
	gone := w.inspectGone(l)
	w.judgeMemory(l, gone)
	w.notePins(l, gone)
	w.rememberAll(l)
	w.inspectRooms()
	w.inspectAttendances(l)
	w.readHistories()
	if err := w.Kernel.Err(); err != nil {
		w.Fail("%w", err)
	}
	l.hasRun, l.reported, l.overrunBefore, l.stoppedBefore = true, l.w.stats.Closed, l.overrun(), l.stopped()
}

// newGoroutines is how many there are that were not there at the start. The runtime's own that runs
// finalizers counts while it does, so they are counted again before they are believed.
func (w *world) newGoroutines() (n int) {
	for range 1000 {
		if n = runtime.NumGoroutine() - w.goroutines; n > 0 {
			n -= w.inflating() // Each may have a coroutine.
		}
		if n <= 0 {
			return 0
		}
		time.Sleep(time.Millisecond)
	}
	return n
}

// inflating is how many connections are in the midst of inflating a message.
func (w *world) inflating() (n int) {
	for _, l := range w.loops {
		for _, source := range l.w.loop.Sources {
			if c, ok := source.(*conn); ok && c.isInflating() {
				n++
			}
		}
	}
	return n
}

func (w *world) inspectConn(l *simLoop, c *conn, token uint64) {
	v := w.views[c]
	link := w.Kernel.LinkNo(int(c.fd))
	if v == nil {
		v = &connView{c: c, link: link, client: w.clientOf(link), stream: w.streamOf(link), socket: w.socketOf(link)}
		w.views[c] = v
		l.views = append(l.views, v)
	}
	switch {
	case !w.Kernel.IsRegistered(l.epfd, int(c.fd), uint32(token), uint32(token>>32)):
		w.Fail("descriptor %d is not registered for connection %d", c.fd, v.link)
	case w.Kernel.Watchers(int(c.fd)) != 1:
		w.Fail("descriptor %d of connection %d is registered %d times", c.fd, v.link, w.Kernel.Watchers(int(c.fd)))
	case v.link != link:
		w.Fail("descriptor %d of connection %d leads to connection %d now", c.fd, v.link, link)
	}
	if c.end != nil && !v.isKnown {
		w.judgeReason(l, v, c.end.reason)
	}
	if c.life == open {
		w.inspectLimits(l, v)
	}
	v.isPaused = c.pauses&pauseRoom != 0 || c.isThrottled()
	if s := c.subscriber(); s != nil {
		w.inspectToken(l, v)
		w.inspectSubscriptions(l, v, s)
		return
	}
	if c.reader.IsIn() {
		w.rooms[c.reader.Room()] = true
		if v.room == nil {
			v.noteJoined()
		}
		v.room, v.track, v.position = c.reader.Room(), c.reader.Encoding(), c.reader.Position()
		if lag, most := c.reader.End()-v.position, w.lagMax(v.room); lag > most {
			w.Fail("connection %d is %d bytes behind, the bound is %d", v.link, lag, most)
		}
	}
}

func (w *world) clientOf(link int) *simClient {
	for _, c := range w.clients {
		if c.Peer != nil && c.Peer.No() == link {
			return c
		}
	}
	return nil
}

// inspectGone judges those who vanished in the last tick, if it is clear who vanished for what, and
// returns them.
func (w *world) inspectGone(l *simLoop) (gone []*connView) {
	for _, v := range l.views {
		if v.c.life == dead {
			gone = append(gone, v)
			delete(w.views, v.c)
		}
	}
	l.views = slices.DeleteFunc(l.views, func(v *connView) bool { return v.c.life == dead })
	gone = slices.DeleteFunc(gone, func(v *connView) bool { return v.c.fd < 0 }) // Another loop has it.
	var why []CloseReason
	for r, n := range l.w.stats.Closed {
		for range n - l.reported[r] {
			why = append(why, CloseReason(r))
		}
	}
	if len(gone) != len(why) {
		return gone // Some came and went in the same tick.
	}
	for i, v := range gone {
		isClear := why[0] == why[len(why)-1] // They are in order.
		switch {
		case v.isKnown && (why[i] != ClosedPinned || !isClear): // One that is closing may be cut for another reason.
		case isClear:
			w.judgeReason(l, v, why[i])
		case v.client != nil:
			v.client.reason, v.client.HasReason, v.client.isVague = why[i], true, true // One of them had it.
		case v.stream != nil:
			v.stream.isTold = true
		case v.socket != nil:
			v.socket.isKnown, v.socket.isVague = true, true
		}
	}
	return gone
}

// judgeReason says whether the gateway had the reason it gives.
func (w *world) judgeReason(l *simLoop, v *connView, r CloseReason) {
	if v.stream != nil {
		w.judgeStream(l, v, r)
		return
	}
	if v.socket != nil {
		w.judgeSocket(l, v, r)
		return
	}
	v.isKnown = true
	c := v.client
	if c == nil {
		return
	}
	c.reason, c.HasReason = r, true
	w.Kernel.Note("connection %d is ended: %v", v.link, r)
	if c.Peer.IsDoomed() || w.isJust(l, v, r) {
		return
	}
	read, wrote := c.Peer.Activity()
	c.Fail("the gateway ends it as %v, without reason; now %v, last read from %v, last written to %v, a tick lasted %v", r, w.Kernel.Now(), read, wrote, w.longest)
}

func (w *world) isJust(l *simLoop, v *connView, r CloseReason) bool {
	c := v.client
	now := w.Kernel.Now()
	read, _ := c.Peer.Activity()
	since := func(t time.Duration) time.Duration {
		passed := now - t + w.longest // Loops read the clock once a tick.
		if t < l.pausedAt {
			passed -= l.pausedFor
		}
		return passed
	}
	switch r {
	case ClosedByPeer:
		return c.Bye != 0
	case ClosedGone:
		return c.IsHalf || c.IsClosed
	case ClosedProtocol, ClosedTooBig, ClosedNotUTF8, ClosedCorrupt:
		return c.Violation == int(reasons[r].code)
	case ClosedSlow:
		// What a room retains is counted in segments, of all tracks: half of each may be left
		// empty, and the last one almost wholly.
		return !w.Plan.IsLossy() && (!w.Plan.IsSteady || w.IsHealing || w.goesOnWithout(v)) && (v.room == nil || v.room.Stats().End[v.track]-v.position >= int64(w.Plan.Backlog)/8-w.segmentMax())
	case ClosedStalled:
		return since(v.took) >= w.Plan.Stall // What it took since may have come behind the gateway's last look.
	case ClosedDoesNotRead: // Its Close frame may be what was written last.
		return since(v.took) >= w.Plan.Stall && len(c.Sent) > 0
	case ClosedNoPong:
		return since(read) >= w.Plan.Pong && !v.isPaused
	case ClosedFrameRate:
		return w.isOver(l, c, simclient.Frames)
	case ClosedPingRate:
		return w.isOver(l, c, simclient.Pings)
	case ClosedMessageRate:
		return w.isOver(l, c, simclient.Messages)
	case ClosedByteRate:
		return w.isOver(l, c, simclient.Bytes)
	case ClosedAssembly, ClosedPinned: // Who else was there is looked at when all are known.
		l.blamed = append(l.blamed, v)
		return true
	case ClosedAssemblyTimeout: // Time that passed in all; when the message began is not followed.
		return now+w.longest >= configOf(&w.Plan).AssemblyTimeout
	case ClosedDrain, ClosedCut:
		return w.IsDraining
	case ClosedRefused:
		return c.Kind == simclient.Bad || w.IsDraining || now >= w.Plan.Handshake || c.Status == 503 || w.Plan.History.Keeps(c.Room)
	case ClosedSilent:
		return read == 0 && now >= w.Plan.Handshake
	}
	return false
}

// goesOnWithout reports whether half of a plan's steady readers at least keep up, so that the room
// goes on without those who do not: one of two readers, or a sender that gets its own messages more
// slowly than the readers do.
func (w *world) goesOnWithout(v *connView) bool {
	readers, keepUp := 0, 0
	for _, l := range w.loops {
		for _, other := range l.views {
			if other.client == nil || !other.client.IsSteadyReader() || other != v && !other.c.reader.IsIn() {
				continue
			}
			readers++
			if other != v && other.room.Stats().End[other.track]-other.c.reader.Position() <= int64(w.Plan.Backlog)/4 { // Now; it was within the window a moment ago.
				keepUp++
			}
		}
	}
	return 2*keepUp >= readers && readers > 0
}

// pollerDescriptors are what one poller opens for itself.
const pollerDescriptors = 2

// inspectQuiet looks at everybody while every loop sleeps and nothing is ready: whoever has
// something to do then, and could do it, has been forgotten.
func (w *world) inspectQuiet() {
	if w.Err != nil || len(w.runnable()) > 0 || w.builder != nil && w.builder.hasWork() {
		return
	}
	w.quiet++
	watched := 0
	for _, l := range w.loops {
		watched += l.w.loop.Len()
	}
	if n := w.Kernel.Open() - pollerDescriptors*len(w.loops); n != watched {
		w.Fail("%d descriptors are open and %d are watched, and every loop sleeps: in a mailbox?", n, watched)
	}
	for _, l := range w.loops {
		for _, v := range l.views {
			if !l.hasEnded && v.c.life != dead {
				w.inspectQuietConn(l, v)
			}
		}
	}
	w.inspectDue()
	w.inspectBrakes()
	w.inspectHomes()
}

// inspectHomes looks whether the members of each room are on one loop, in worlds where no room
// grows out of its home and nothing keeps clients from going there.
func (w *world) inspectHomes() {
	p := &w.Plan
	if p.HomeMax <= p.Clients+p.History.Readers || p.Subscribers.Number > 0 || p.Faults.NoMemory > 0 || p.Faults.Watch > 0 {
		return
	}
	homes := map[*hub.Room]*simLoop{}
	for _, l := range w.loops {
		for _, v := range l.views {
			if !v.c.reader.IsIn() {
				continue
			}
			if home := homes[v.c.reader.Room()]; home != nil && home != l {
				w.Fail("room %s is small, and connection %d is on another loop than others there", v.c.reader.Room().Name(), v.link)
			}
			homes[v.c.reader.Room()] = l
		}
	}
	w.homely++
}

// inspectDue holds what each room counts as due to what its members have yet to get. One that was
// overrun and may go on is due more than shows: what it will skip.
func (w *world) inspectDue() {
	due, some, anywhere := map[*hub.Room]uint64{}, map[string]uint64{}, uint64(0)
	for _, l := range w.loops {
		for _, v := range l.views {
			c := v.c
			if s := c.subscriber(); s != nil {
				if c.life != open && c.reader.IsIn() { // In which rooms it has something to get is not known any more.
					anywhere += c.reader.Lag(l.w.loop.Now()).Messages
				}
				for _, sub := range s.subscriptions {
					due[sub.Room()] += sub.Lag(l.w.loop.Now()).Messages
				}
			} else if c.reader.IsIn() {
				due[c.reader.Room()] += c.reader.Lag(l.w.loop.Now()).Messages
			}
			switch {
			case c.own == nil || len(c.own.rest.Bytes()) == 0:
			case v.room != nil:
				due[v.room]++
			case v.socket != nil: // In which room is not known.
				anywhere++
			case v.client != nil: // It came and was overrun within one tick: in which room of that name is not known.
				some[simclient.RoomName(v.client.Room)]++
			}
		}
	}
	for r := range w.rooms {
		if a := r.Account(); a.Due() < due[r] || a.Due() > due[r]+some[r.Name()]+anywhere && !w.Plan.IsLossy() {
			w.Fail("room %s has %d messages due by its count %+v, and %d by its members'", r.Name(), int64(a.Due()), a, due[r])
		}
	}
}

func (w *world) inspectQuietConn(l *simLoop, v *connView) {
	c := v.c
	readable, writable := w.Kernel.Condition(int(c.fd))
	if c.isParked() {
		w.Fail("connection %d waits for a history that nobody makes", v.link)
	}
	for _, s := range c.shortages() {
		if s.due != 0 && s.due < l.w.loop.Elapsed()-time.Second { // Time may have leapt just now.
			w.Fail("connection %d: what was put off is due since %v, and every loop sleeps", v.link, s.due)
		}
	}
	if writable && !c.lacksWrites() && w.owesBytes(c) {
		w.Fail("connection %d: bytes wait, its socket takes bytes, and every loop sleeps", v.link)
	}
	if c.pauses&pauseRoom != 0 && c.reader.IsIn() && !c.publishesTo().IsFull() {
		w.Fail("connection %d is not read on, although its room is not full", v.link)
	}
	if c.isThrottled() && c.life == open && w.isOwed(l, v) {
		w.Fail("connection %d is not read on, although its rates allow it", v.link)
	}
	if c.pauses&pauseRoom != 0 || c.isThrottled() || c.lacksReads() || (c.life == finishing || c.life == parting) {
		return // A closing connection is read when it has said all.
	}
	if readable {
		w.Fail("connection %d: input waits, and every loop sleeps", v.link)
	}
	if c.in != nil && len(c.in.stash) > 0 {
		w.Fail("connection %d: what was read waits to be decoded, and every loop sleeps", v.link)
	}
}

// shortages are what the connection was put off for, or may be.
func (c *conn) shortages() []shortage {
	if c.meter == nil {
		return nil
	}
	return []shortage{c.meter.reads, c.meter.writes}
}

// owesBytes says whether something waits to be written.
func (w *world) owesBytes(c *conn) bool {
	if c.own != nil {
		return true
	}
	if !c.reader.IsIn() {
		return false
	}
	if c.past == subscribes {
		return c.reader.Behind() > 0
	}
	return c.reader.Position() < c.reader.End()
}

// publishesTo is the room that a connection waits for.
func (c *conn) publishesTo() *hub.Room {
	if s := c.subscriber(); s != nil {
		return s.publishing.Room()
	}
	return c.reader.Room()
}
