package gateway

import (
	"net/netip"
	"time"
)

// What a client may have us inflate: what text and data honestly deflated come to is free, a stream
// that is made to be inflated is not. One kilobyte can become a megabyte, which costs a millisecond
// or two.
const (
	inflateFree  = 32 // bytes for each byte that the client sends; beside those Options.InflateRate
	inflateBurst = 8  // seconds' worth of that, and two of the largest messages, beyond which the client is closed
)

// What a client's turns may take of its loop's time before they are costly: costlyTurn at once, and
// a share in the long run.
const (
	frameWork   = 16              // for each frame, in the bytes that inflating counts in
	costlyShare = 400             // the bucket leaks as much as this part of the time
	costlyMost  = 40 * costlyTurn // and holds no more: it was the machine, maybe
)

// A meter is what limits have to know of one client. It exists only for a client of which one of
// them wants to know something, of which a turn took long, or that the kernel lacked memory for.
type meter struct {
	key   netip.Addr // whom it counts for, see admission; zero: nobody
	from  netip.Addr // the client that its proxy has named; zero: none
	level int        // a leaky bucket of bytes that were inflated …
	at    time.Duration

	frames, pings, messages, bytes bucket

	spent   time.Duration // a leaky bucket of what its turns took …
	spentAt time.Duration

	reads, writes shortage

	endsAt time.Duration // when the client is asked to come back; zero: never

	until time.Duration // when a pause for its rates ends, or ended
	over  time.Duration // since when it has been throttled again and again

	isKnown bool       // by a token, which …
	granted Permission // … granted this in its room
	subject string     // who the client is, by its token; empty: that is not known

	unread int // bytes that it has sent behind its request for events

	attendee *attendee // in its room, which keeps who is there; nil: it does not

	expires   int64         // when its client's token does, in seconds of Unix time; zero: never
	expiresAt time.Duration // … by the loop's clock
}

// read notes that the client sent n bytes.
func (m *meter) read(n int) {
	m.level = max(0, m.level-inflateFree*n)
	m.reads.failures = 0
}

// inflate notes that n bytes were inflated at the time now, and returns the level. The bucket leaks
// rate of them a second.
func (m *meter) inflate(n int, rate int64, now time.Duration) int {
	leaked := int(min(now-m.at, time.Minute).Seconds() * float64(rate))
	m.level, m.at = max(0, m.level-leaked)+n, now
	return m.level
}

// spend notes that a turn took so long, at the time now.
func (m *meter) spend(took, now time.Duration) {
	m.spent, m.spentAt = min(m.spentBy(now)+took, costlyMost), now
}

// spentBy is the bucket's level at the time now.
func (m *meter) spentBy(now time.Duration) time.Duration {
	return max(0, m.spent-(now-m.spentAt)/costlyShare)
}

// A shortage is what the kernel lacked memory for, of one connection: to read, or to write.
type shortage struct {
	failures int           // in a row
	failedAt time.Duration // the last of them
	due      time.Duration // when it is tried again; zero: nothing waits for that
}
