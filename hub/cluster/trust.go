package cluster

import (
	"crypto/rand"
	"errors"
	"strings"
	"time"
)

// trust says whether the stream is the one that it was. Its creation's time does not: a store that
// was lost or an older one that was copied back may have the same. So the epoch has a message that
// was there lately, which an audit looks for; and each node goes by the last one that it has seen
// itself, by where it and others know the stream to have been, and by contradictions: what came out
// of the stream, and is not in it. While a node does not trust the stream, it reads, fetches and
// sends nothing, and what was asked for or sent before that proves nothing any more.
//
//	Up, a contradiction ──▶ in doubt ──others have spoken; audit: the same──▶ trusted
//	                         │    ▲ (twice, a second apart)
//	                         ├────┴─another──▶ a new epoch, all rooms reset ──▶ trusted
//	                         └──another node's epoch: taken, all rooms reset ──▶ in doubt
type trust struct {
	isTrusted  bool
	isUp       bool // there is a connection to ask
	isAuditing bool
	mustStart  bool   // Prepare is due
	epoch      string // empty: not known yet
	revision   uint64 // of the epoch, as it was read last
	reached    uint64 // a sequence that the stream has had in the epoch: the highest that is known
	seen       uint64 // the highest one whose message has come here, or to another node, and its id
	seenID     string
	doubts     uint64 // times that the stream came into doubt, or was another one
	isDenied   bool   // what came out of the stream is not in it
	auditAt    time.Duration
	suspicions int // audits in a row that found another stream
	goodAt     time.Duration
	isClosed   bool
	doubt      error // why it is not trusted
}

var (
	errStarting = errors.New("cluster: the stream has not been reached yet")
	errDown     = errors.New("cluster: no connection to the NATS servers")
	errSuspect  = errors.New("cluster: the stream may not be what it was")
)

// suspect makes an audit come before anything else.
func (t *trust) suspect(why error) {
	t.isTrusted = false
	t.doubts++
	t.doubt = why
	t.auditAt = 0
}

// see notes a message of the stream.
func (t *trust) see(seq uint64, id string) {
	if seq > t.seen {
		t.seen, t.seenID = seq, id
	}
	t.reached = max(t.reached, seq)
}

// contradict says that what came out of the stream is not in it: it went back, or somebody else has
// spoken in its place, which nobody can tell apart.
func (t *trust) contradict() {
	t.suspect(errSuspect)
	t.isDenied = true
}

// newName is a name that nobody has seen before.
func newName() string { return strings.ToLower(rand.Text()[:8]) }
