package process

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/shared"
	"sluice/wsproto"
)

// A stream is the messages of one publisher: what was sent, and how many clients still wait for it.
// What sent, cut and slots point to is shared by all loops of all processes; everything below home
// belongs to the loop of the client that publishes.
type stream struct {
	id    uint16
	room  *room
	place uint32         // among the publishers of the room
	sent  *atomic.Uint32 // messages sent so far; the next one's number
	cut   *atomic.Bool   // the phase ended although messages still came
	slots []shared.Slot  // by number, modulo their count, which is a power of two

	home     *worker // nil when the publisher is in another process
	client   *client
	settled  uint32 // messages below have reached everybody, or were given up
	first    uint32 // the phase's first number …
	limit    uint32 // … and the number to stop before
	backlog  int    // messages not settled when the last one was due; negative before that
	timeouts int    // messages in a row that were given up
	active   bool   // in a phase that is not over for this stream

	gaveUpAt time.Duration // when a message of the phase was last given up; zero if none was
	allSent  time.Duration // when the phase's last message was sent; zero before that
}

// A room is a set of clients that should hear the same.
type room struct {
	index     int
	target    *load.Target
	name      string // of its channel, where the protocol has channels
	path      string
	eventPath string // where its events are, if somebody reads them
	streams   []*stream
	live      *atomic.Int64 // clients that count as receivers, in all processes
}

// GiveUpsMax is how many messages in a row may reach nobody in full before a publisher stops
// asking.
const GiveUpsMax = 8

func (st *stream) slot(seq uint32) *shared.Slot { return &st.slots[seq&uint32(len(st.slots)-1)] }

// begin starts a phase of count messages; the number of the first follows the last phase's.
func (st *stream) begin(count uint32) {
	st.first = st.sent.Load()
	st.limit = st.first + min(count, math.MaxUint32-1-st.first)
	st.timeouts, st.backlog = 0, -1
	st.gaveUpAt, st.allSent = 0, 0
	st.cut.Store(false)
	st.active = st.client.state == joined && count > 0
	if !st.active {
		st.home.process.streamDone()
	}
}

// step moves the stream on: settles what has arrived everywhere and sends what the schedule allows.
// It runs at the end of a tick of home's loop.
func (st *stream) step(now time.Duration) {
	st.settle(now)
	if !st.active {
		return
	}
	if st.hasStopped() {
		st.limit = st.sent.Load()
	}
	if st.sent.Load() < st.limit {
		st.home.process.schedule.send(st, now)
	}
	if st.sent.Load() < st.limit {
		return
	}
	if st.allSent == 0 {
		st.allSent = now
	}
	if st.settled == st.limit && !st.awaitsRest(now) {
		st.active = false
		st.home.process.streamDone()
	}
}

// hasStopped says that nobody sends, or asks, any more.
func (st *stream) hasStopped() bool { return st.client.state != joined || st.timeouts >= GiveUpsMax }

// awaitsRest says that messages which were given up are waited for at the end of the phase: until
// nothing of the stream has come anywhere for as long as patience lasts, and they are lost; or
// until the time for it is over while some still came, and nobody knows.
func (st *stream) awaitsRest(now time.Duration) bool {
	if st.gaveUpAt == 0 {
		return false
	}
	isWaitedFor, came := st.rest()
	if !isWaitedFor {
		return false
	}
	cfg := st.home.process.cfg
	isSilent := now-max(st.gaveUpAt, came) >= cfg.LossTimeout
	isOver := now-st.allSent >= max(cfg.Drain, cfg.LossTimeout)
	st.cut.Store(isOver && now-came < cfg.LossTimeout)
	return !isSilent && !isOver
}

// rest looks at the last messages of the phase, as many as there are slots for: whether one of them
// is waited for, and when one last arrived somewhere.
func (st *stream) rest() (isWaitedFor bool, came time.Duration) {
	sent := st.sent.Load()
	for n := min(sent-st.first, uint32(len(st.slots))); n > 0; n-- {
		s := st.slot(sent - n)
		isWaitedFor = isWaitedFor || s.IsWaitedFor()
		came = max(came, s.LastArrival())
	}
	return isWaitedFor, came
}

func (st *stream) settle(now time.Duration) {
	sent := st.sent.Load()
	if n := uint32(len(st.slots)); sent-st.settled > n {
		st.settled = sent - n
	}
	for ; st.settled < sent; st.settled++ {
		s := st.slot(st.settled)
		if s.IsWaitedFor() {
			if !st.active || !st.hasStopped() && !st.home.process.schedule.isOverdue(st, s, now) {
				return
			}
			st.timeouts++
			st.home.timeouts++
			st.gaveUpAt = now
			continue
		}
		st.timeouts = 0
		if skew, hasArrived := s.Skew(); hasArrived {
			st.home.skew.Record(int64(skew))
		}
	}
}

// isUnheardBy says that c does not get the stream's messages because it sends them, and the server
// does not echo.
func (st *stream) isUnheardBy(c *client) bool { return st.client == c && c.w.process.cfg.NoEcho }

// send sends the next message, whose latency counts from due.
func (st *stream) send(now, due time.Duration) {
	seq, w := st.sent.Load(), st.home
	receivers := st.room.live.Load()
	if w.process.cfg.NoEcho {
		receivers--
	}
	st.slot(seq).Begin(seq, receivers, now)
	st.sent.Store(seq + 1) // Last: a loop that sees the number may count on the slot.
	head := payload.Stamp{Seq: seq, Publisher: st.id, Due: int64(due) & payload.DueMask}
	w.payload = payload.Append(w.payload[:0], w.process.tag, head, w.process.cfg.Size.Of(st.id, seq))
	c := st.client
	if len(c.out) == 0 {
		w.unsent = append(w.unsent, c)
	}
	frame := w.payload
	if c.subscriber != nil {
		frame = c.publish(frame)
	}
	if w.process.cfg.Fragmented {
		c.out = appendFragments(c.out, w.process.opcode, frame)
		return
	}
	c.out = wsproto.AppendMaskedFrame(c.out, w.process.opcode, true, newMask(), frame)
}

// appendFragments appends a message in three frames, of which the last is empty (RFC 6455 §5.4
// allows it).
func appendFragments(dst []byte, op wsproto.Opcode, p []byte) []byte {
	half := len(p) / 2
	dst = wsproto.AppendMaskedFrame(dst, op, false, newMask(), p[:half])
	dst = wsproto.AppendMaskedFrame(dst, wsproto.OpContinuation, false, newMask(), p[half:])
	return wsproto.AppendMaskedFrame(dst, wsproto.OpContinuation, true, newMask(), nil)
}

// newMask is a frame's mask. It need not be secret here: no proxy is to be protected from ourselves
// (RFC 6455 §10.3).
func newMask() [4]byte {
	v := rand.Uint32()
	return [4]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}
}
