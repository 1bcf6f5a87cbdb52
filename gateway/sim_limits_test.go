//go:build linux

package gateway

import (
	"slices"
	"time"

	"sluice/gateway/internal/simclient"
	"sluice/reactor/reactortest"
)

// simRounding is by how much of a token two ways of counting may differ.
const simRounding = 0.001

// rounding is simRounding, and more for a client whose messages are inflated in slices: they are
// counted here when they have come, and charged when they are whole, some ticks later.
func (c *simClient) rounding(p *simclient.Pail) float64 {
	if c.Deflates {
		return simRounding + p.Rate*throttleSlack.Seconds()
	}
	return simRounding
}

// inspectLimits looks at an open connection whose loop has ended a tick: what it holds, and whether
// it keeps to its rates.
func (w *world) inspectLimits(l *simLoop, v *connView) {
	c, waiting := v.c, 0
	if c.in != nil {
		waiting = len(c.in.stash)
		if holds := c.in.size(w.server.config()); holds != c.in.portion.held {
			w.Fail("connection %d holds %d bytes of unfinished input, %d are counted", v.link, holds, c.in.portion.held)
		}
	}
	if v.client == nil {
		return
	}
	i := &v.client.Intake
	i.Decoded(waiting, l.w.loop.Now())
	// A message and a read may overshoot: whose it was is held to its rate from there on.
	for what, may := range [simclient.NumRates]float64{simclient.Messages: 1, simclient.Bytes: float64(w.Plan.Read)} {
		if p := &i.Pails[what]; p.Rate > 0 && p.Owes(p.At) > may+v.client.rounding(p) {
			w.Fail("connection %d goes on, although it has taken %.2f more than its rate %d allows", v.link, p.Owes(p.At), what)
		}
	}
}

// throttleSlack is how late, on its loop's clock, a connection may be read on after its rates allow
// it: timers are coarse.
const throttleSlack = 50 * time.Millisecond

// isOwed says whether a connection that is not read on because of a rate should have been: nothing
// is missing in its client's pails for a while. Its loop sleeps.
func (w *world) isOwed(l *simLoop, v *connView) bool {
	if v.client == nil {
		return false
	}
	at, pails := l.w.loop.Elapsed()-throttleSlack, &v.client.Intake.Pails
	for _, what := range []simclient.Rate{simclient.Messages, simclient.Bytes} {
		if p := &pails[what]; p.Rate > 0 && p.Owes(at) > -v.client.rounding(p) {
			return false
		}
	}
	return true
}

// isOver says whether a client was over a rate when it was closed for that. What was read may have
// been decoded up to any byte.
func (w *world) isOver(l *simLoop, c *simClient, what simclient.Rate) bool {
	now := l.w.loop.Now()
	c.Intake.Decoded(0, now)
	p := &c.Intake.Pails[what]
	if p.Rate == 0 || p.Owes(p.At) <= -c.rounding(p) {
		return false
	}
	if what == simclient.Frames || what == simclient.Pings {
		return true
	}
	// It must have gone on with it. With two rates it was held to one for some of the time, and the
	// other filled up meanwhile.
	over := w.Plan.Limits.Over
	isAlone := w.Plan.Limits.Rates[simclient.Messages] == 0 || w.Plan.Limits.Rates[simclient.Bytes] == 0
	overshot := 2
	if what == simclient.Bytes {
		overshot = 2 * w.Plan.Read
	}
	return !isAlone || float64(p.Since(now-over)+overshot) >= p.Rate*over.Seconds()
}

// inputMax is what a connection may hold of unfinished input: a message, a control frame, and one
// read that waits to be decoded. An inflater counts for one byte.
func (w *world) inputMax() int {
	most := w.Plan.Message + 125 + w.Plan.Read + 1
	if w.Plan.Subscribers.Number > 0 { // Commands that have to wait lie in memory of their own.
		most += w.Plan.Message
	}
	return most
}

// mostHeld is the most that a connection of a loop may have held of unfinished input since the
// loop's last tick.
func (w *world) mostHeld(l *simLoop, v *connView) int {
	c := v.client
	if c == nil || v.hadStash {
		return w.inputMax()
	}
	const control, smallest = 125, 256
	most := min(w.Plan.Message, max(smallest, 2*c.Intake.Most)) + control // A buffer is a power of two.
	if l.stopped() > l.stoppedBefore || c.Deflates {
		// One read may have waited to be decoded. Whether it did the connection no longer tells:
		// its room may have let it go on since.
		most += min(c.Intake.Fresh, w.Plan.Read)
	}
	return most
}

// stopped is how often the loop has not read a connection on so far, for its room or because of a
// rate.
func (l *simLoop) stopped() uint64 { return l.w.stats.Paused + l.w.stats.Throttled }

// hasMoved says whether a connection's unfinished input may have changed since its loop's last
// tick.
func (v *connView) hasMoved(l *simLoop) bool {
	if v.client == nil || v.hadStash {
		return true
	}
	read, _ := v.client.Peer.Activity()
	return read >= l.began
}

// remember keeps what the next look compares with.
func (v *connView) remember(w *world) {
	v.held, v.hadStash, v.bytes, v.credit = 0, false, 0, 0
	v.pinged = v.c.pinged
	if in := v.c.in; in != nil {
		v.held, v.hadStash = in.portion.held, len(in.stash)+len(in.commands)+len(in.head) > 0 || in.decoder.Inflating()
		v.bytes, v.credit = in.portion.bytes, in.portion.credit
	}
	if v.client != nil {
		v.client.Intake.Looked()
	}
	pin := v.c.pinnedFrame()
	if pin != v.pin {
		v.pinned = w.Steps
	}
	if v.pin = pin; v.pin != nil {
		if _, ok := w.pins[v.pin]; !ok {
			w.pins[v.pin] = w.Steps
		}
	}
}

// pinnedFrame tells the dropped frame that a connection is in by its last byte: those who are in
// the same one share a copy of it.
func (c *conn) pinnedFrame() *byte {
	if c.own == nil || len(c.own.rest.Bytes()) == 0 {
		return nil
	}
	rest := c.own.rest.Bytes()
	return &rest[len(rest)-1]
}

// peer is the far end of the connection, nil if it is nobody's.
func (v *connView) peer() *reactortest.Peer {
	switch {
	case v.client != nil:
		return v.client.Peer
	case v.stream != nil:
		return v.stream.Peer
	case v.socket != nil:
		return v.socket.Peer
	}
	return nil
}

// rememberAll is remember for all of a loop's connections. Together they hold what the loop counts.
func (w *world) rememberAll(l *simLoop) {
	sum := 0
	for _, v := range l.views {
		v.remember(w)
		if peer := v.peer(); peer != nil {
			_, wrote := peer.Activity()
			v.took = max(wrote, peer.Acknowledged())
		}
		sum += v.held
	}
	if counted := l.w.inputBudget.held; sum != counted {
		w.Fail("the connections of a loop hold %d bytes of unfinished input, and it counts %d", sum, counted)
	}
}

// judgeMemory judges those whom a loop closed in its last tick for want of memory, now that all of
// its connections are known. gone are those that ended in it.
func (w *world) judgeMemory(l *simLoop, gone []*connView) {
	for _, v := range l.blamed {
		if v.client != nil && v.client.reason == ClosedAssembly || v.socket != nil && v.socket.reason == ClosedAssembly {
			w.judgeBlame(l, v, gone)
		} else {
			w.judgeOldest(l, v, gone)
		}
	}
	l.blamed = l.blamed[:0]
}

// creditSince is the most credit that a connection can have had since its loop's last tick if
// nothing of its input has moved: the time for which its loop did not read it on is given back to
// it when that ends.
func (v *connView) creditSince() time.Duration {
	if in := v.c.in; in != nil {
		return max(v.credit, in.portion.credit)
	}
	return v.credit
}

// classWidth is by how much connections of the class of size of n bytes may differ.
func classWidth(n int) float64 {
	if classOf(n) == 0 {
		return 256
	}
	return 8
}

// judgeBlame checks that unfinished input may have been too much together, that others than v had a
// part in that, and that nobody else was clearly more to blame than v: for its bytes, and the time
// for which it had lacked others.
func (w *world) judgeBlame(l *simLoop, v *connView, gone []*connView) {
	most := v.held
	if v.hasMoved(l) {
		most = w.mostHeld(l, v)
	}
	began := l.began - (w.Kernel.Now() - l.w.loop.Elapsed()) // On the loop's clock, which stood still while the process did.
	others := 0
	for _, other := range append(slices.Clone(gone), l.views...) {
		switch {
		case other == v:
		case other.hasMoved(l):
			others += w.mostHeld(l, other)
		default:
			others += other.held
			// What v has got since can only have made its blame less, but for its bytes.
			mine := float64(max(most, 1)) * float64(l.w.loop.Now()+assemblyCredit-v.credit)
			if blame := float64(other.bytes) * float64(began+assemblyCredit-other.creditSince()); blame > classWidth(other.bytes)*mine && other.c.life == open && v.credit > 0 {
				w.Fail("connection %d was closed for unfinished input with a blame of at most %.0f, but that of connection %d is %.0f", v.link, mine, other.link, blame)
			}
		}
	}
	if limit := w.server.config().assemblyShare(); most == 0 || most+others <= limit {
		w.Fail("connection %d, with at most %d bytes of unfinished input, was closed for it, but all others had at most %d; the limit is %d", v.link, most, others, limit)
	}
	if others <= w.Plan.Message {
		w.Fail("connection %d was closed for %d bytes of unfinished input at most, but all others had no more than one message, at most %d", v.link, most, others)
	}
}

// judgeOldest checks that what is kept of dropped frames may have been too much, and that of the
// loop's nobody has been in one for longer than v. Loops count the bytes of a large frame, which is
// not copied, each for itself, and anew in each round that has overrun somebody in it: everybody
// may have been in one that counts.
func (w *world) judgeOldest(l *simLoop, v *connView, gone []*connView) {
	pin := v.pin
	if pin == nil { // Overrun just now, in a round that began before maybe: then it shares the copy of those it is with.
		pin = w.oldestGivenUp(append(slices.Clone(gone), l.views...))
	}
	pins := 0
	for _, o := range gone {
		if o.pin != nil {
			pins++
		}
	}
	for _, other := range w.loops {
		pins += int(other.overrun() - other.overrunBefore)
		for _, o := range other.views {
			if o.pin != nil {
				pins++
			}
			// The bytes of a large frame are not copied: those who were overrun in it in another
			// round, or have left it, keep the same ones for themselves.
			isLater := pin != nil && o.pinned >= w.pins[pin]
			if other == l && o.pin != nil && o.pin == o.c.pinnedFrame() && !isLater {
				w.Fail("connection %d was cut for a dropped frame, but connection %d has been in one for as long", v.link, o.link)
			}
		}
	}
	limit := min(w.server.config().PinnedMemory, w.server.config().BacklogMemory/2)
	if most := (pins + l.elsewhere) * w.frameMax(); int64(most) <= limit {
		w.Fail("connection %d was cut for a dropped frame, but at most %d bytes of those were kept; the limit is %d", v.link, most, limit)
	}
}

// oldestGivenUp is the oldest of the dropped frames that some of these connections were in at the
// last look, and are in no longer.
func (w *world) oldestGivenUp(views []*connView) (pin *byte) {
	for _, v := range views {
		if v.pin != nil && v.pin != v.c.pinnedFrame() && (pin == nil || w.pins[v.pin] < w.pins[pin]) {
			pin = v.pin
		}
	}
	return pin
}

// notePins tells the loops that are in the middle of a tick how many copies of dropped frames the
// tick that l has ended may have made or given up: when they cut somebody those may have been
// there. gone are l's connections that ended in it.
func (w *world) notePins(l *simLoop, gone []*connView) {
	n := int(l.overrun() - l.overrunBefore)
	for _, v := range append(gone, l.views...) {
		if v.pin != nil && v.pin != v.c.pinnedFrame() {
			n++
		}
	}
	for _, other := range w.loops {
		if other != l && !other.isAsleep {
			other.elsewhere += n
		}
	}
	l.elsewhere = 0
}

// overrun is how many members of the loop the logs have overrun so far, or may have left in the
// midst of a frame.
func (l *simLoop) overrun() (n uint64) {
	n = l.w.stats.Unsubscribed
	for _, of := range l.w.fan.Stats().Overrun {
		n += of
	}
	return n
}

// settleMemory checks, when nobody is left, that nothing is.
func (w *world) settleMemory() {
	for i, l := range w.loops {
		if held := l.w.inputBudget.held; held != 0 {
			w.Fail("nobody is left, and loop %d counts %d bytes of unfinished input", i, held)
		}
	}
	if pinned := w.server.hub.Pinned(); pinned != 0 {
		w.Fail("nobody is left, and %d bytes of dropped frames are kept", pinned)
	}
	if n := len(w.server.presences.rooms); n != 0 {
		w.Fail("nobody is left, and %d rooms keep that somebody is there", n)
	}
	if h := w.server.hub.Histories(); h.Memory != 0 || h.CatchingUp != 0 {
		w.Fail("nobody is left, and histories take %d bytes; %d members are catching up", h.Memory, h.CatchingUp)
	}
}
