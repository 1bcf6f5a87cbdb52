//go:build linux

package gateway

import (
	"encoding/base64"
	"encoding/json"

	"github.com/gobwas/ws"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A simReader judges what a reader of events hears. It is told where it begins, and from there on
// each event is at the next position, with the message that everybody else has there; or a reset
// says, truthfully, that it is not.
type simReader struct {
	*simclient.Reader
	w       *world
	at      hub.Position // of the last event
	streams map[int]*simStream
}

// A simReset is what a reset says.
type simReset struct {
	Reason   string `json:"reason"`
	Position string `json:"position"`
	Missed   uint64 `json:"missed"`
}

func (r *simReader) keeps() bool { return r.w.Plan.History.Keeps(r.Room) }

// Asks implements simclient.ReaderJudge.
func (r *simReader) Asks(s *simclient.Stream) {
	asked := r.w.standing(r.Room)
	one := &simStream{Stream: s, asked: asked}
	if asked.Epoch != "" {
		one.removed = r.w.chronicleOf(r.Room, asked.Epoch).removed
	}
	r.streams[s.Peer.No()] = one
}

// Refused implements simclient.ReaderJudge.
func (r *simReader) Refused(s *simclient.Stream) {
	p := &r.w.Plan
	switch {
	case s.Status == 503 && (p.Connections < p.Peers() || r.w.IsDraining || r.keeps()):
	case s.Status == 408 && r.w.Kernel.Now() >= p.Handshake:
	default:
		s.Fail("its request is answered with %d", s.Status)
	}
}

// Begins implements simclient.ReaderJudge.
func (r *simReader) Begins(s *simclient.Stream, b *simclient.Block) {
	one := r.streams[s.Peer.No()]
	position, isPosition := hub.ParsePosition(b.ID)
	switch {
	case !r.keeps():
		r.beginsWithout(s, b)
		return
	case !b.HasID || !isPosition:
		s.Fail("it begins nowhere: %+v", *b)
		return
	}
	if r.at = position; b.Type == "reset" {
		r.w.resets++
		r.judgeReset(one, b)
		return
	}
	since, isSince := hub.ParsePosition(s.Since)
	switch {
	case b.HasData || b.Type != "":
		s.Fail("it begins with %+v", *b)
	case s.Since == "":
		r.judgeBegin(one, s.Last)
	case !isSince || since != position:
		s.Fail("it asked for %q, and begins behind %v without a reset", s.Since, position)
	default:
		r.w.resumed++
		c, least := r.w.chronicleOf(r.Room, position.Epoch), one.least(position.Epoch)
		n := r.w.Plan.History.Messages
		if position.Offset < min(one.removed, least) || n > 0 && position.Offset+uint64(n) < least {
			s.Fail("it goes on behind %v, and that is not kept: %d was removed of %d", position, c.removed, least)
		}
		if position.Offset > r.most(one) {
			s.Fail("it goes on behind %v, and the room's last one is %d", position, r.most(one))
		}
	}
}

// beginsWithout is where a room keeps nothing.
func (r *simReader) beginsWithout(s *simclient.Stream, b *simclient.Block) {
	if b.ID != "" || (b.Type == "reset") != (s.Since != "") {
		s.Fail("its room keeps nothing; it asked for %q, and begins with %+v", s.Since, *b)
	}
	var said simReset
	_, isSince := hub.ParsePosition(s.Since)
	if s.Since != "" && (json.Unmarshal([]byte(b.Data), &said) != nil || (said.Reason == "no_history") != isSince || (said.Reason == "no_position") == isSince) {
		s.Fail("its room keeps nothing; it asked for %q, and is told %q", s.Since, b.Data)
	}
	r.at = hub.Position{}
}

// most is where the room stood at most when it joined, in its reader's epoch.
func (r *simReader) most(one *simStream) uint64 {
	if one.joined.Epoch == r.at.Epoch {
		return one.joined.Offset
	}
	if now := r.w.standing(r.Room); now.Epoch == r.at.Epoch {
		return now.Offset
	}
	return uint64(len(r.w.chronicleOf(r.Room, r.at.Epoch).said)) // It has ended.
}

// judgeBegin says whether it may begin where it does, with the last so many messages before it.
func (r *simReader) judgeBegin(one *simStream, last int) {
	c := r.w.chronicleOf(r.Room, r.at.Epoch)
	removed := one.removed
	if one.asked.Epoch != r.at.Epoch {
		removed = 0
	}
	if wrong := r.w.mayBegin(c, r.at.Offset, one.least(r.at.Epoch), r.most(one), removed, last); wrong != "" {
		one.Fail("%s", wrong)
	}
}

// judgeReset says whether a reset that a stream begins with is the truth.
func (r *simReader) judgeReset(one *simStream, b *simclient.Block) {
	var said simReset
	if err := json.Unmarshal([]byte(b.Data), &said); err != nil || said.Position != b.ID || said.Missed != 0 {
		one.Fail("a reset with %+v", *b)
	}
	since, isSince := hub.ParsePosition(one.Since)
	c := r.w.chronicleOf(r.Room, r.at.Epoch)
	isTrue := false
	switch said.Reason {
	case "no_position":
		isTrue = one.Since != "" && !isSince
	case "epoch":
		isTrue = isSince && since.Epoch != r.at.Epoch
	case "beyond_end":
		isTrue = since.Epoch == r.at.Epoch && since.Offset > one.least(since.Epoch)
	case "too_old":
		isTrue = since.Epoch == r.at.Epoch && since.Offset < r.most(one) && !r.w.mustHave(c, since.Offset, r.most(one))
	}
	if !isTrue {
		one.Fail("it asked for %q and is told %q at %v", one.Since, said.Reason, r.at)
	}
	r.judgeBegin(one, 0)
}

// Hears implements simclient.ReaderJudge.
func (r *simReader) Hears(s *simclient.Stream, b *simclient.Block) {
	switch b.Type {
	case "", "binary":
		r.hearsMessage(s, b)
	case "reset":
		r.overrun(s, b)
	case "close":
		r.bidden(s, b)
	default:
		s.Fail("an event that no gateway sends: %+v", *b)
	}
}

func (r *simReader) hearsMessage(s *simclient.Stream, b *simclient.Block) {
	op, payload := ws.OpText, []byte(b.Data)
	if b.Type == "binary" {
		var err error
		op = ws.OpBinary
		if payload, err = base64.StdEncoding.DecodeString(b.Data); err != nil {
			s.Fail("an event of bytes with %q", b.Data)
		}
	}
	m := r.w.messageOf(op, payload)
	if m == nil {
		s.Fail("a message that nobody sent: %q", payload)
		return
	}
	if m.FirstSeen == 0 {
		m.FirstSeen = r.w.Steps
	}
	position, isPosition := hub.ParsePosition(b.ID)
	switch {
	case !r.keeps():
		if b.HasID || m.By.Room != r.Room {
			s.Fail("message %d of client %d in a room that keeps nothing: %+v", m.No, m.By.No, *b)
		}
		return
	case !isPosition || position.Epoch != r.at.Epoch || position.Offset != r.at.Offset+1:
		s.Fail("behind %v comes %q", r.at, b.ID)
		return
	}
	r.at = position
	r.w.note(r.Room, position, m)
}

// overrun holds a reset in the midst of a stream to what was missed.
func (r *simReader) overrun(s *simclient.Stream, b *simclient.Block) {
	var said simReset
	err := json.Unmarshal([]byte(b.Data), &said)
	position, isPosition := hub.ParsePosition(b.ID)
	switch {
	case err != nil || said.Reason != "overrun" || said.Position != b.ID || said.Missed == 0 || !r.w.Plan.IsLossy():
		s.Fail("a reset in its midst: %+v", *b)
	case !r.keeps() && b.ID == "":
	case !isPosition || position.Epoch != r.at.Epoch || position.Offset != r.at.Offset+said.Missed:
		s.Fail("it has missed %d messages behind %v, and goes on behind %q", said.Missed, r.at, b.ID)
	}
	r.at = position
	r.w.overran++
}

// bidden judges a farewell, when it is known what the loops did it for.
func (r *simReader) bidden(s *simclient.Stream, b *simclient.Block) {
	var said struct {
		Code int `json:"code"`
	}
	if err := json.Unmarshal([]byte(b.Data), &said); err != nil {
		s.Fail("a farewell of %q", b.Data)
	}
	one := r.streams[s.Peer.No()]
	r.w.later(func() {
		if one.isTold && int(reasons[one.reason].code) != said.Code && said.Code != 4008 && !s.Peer.IsDoomed() {
			s.Fail("its farewell is %d; the gateway's reason is %v", said.Code, one.reason)
		}
	})
}

// Ends implements simclient.ReaderJudge.
func (r *simReader) Ends(s *simclient.Stream, byReset bool) {
	one := r.streams[s.Peer.No()]
	r.w.later(func() {
		switch {
		case s.IsCut, s.IsOver, one.isTold, s.Peer.IsDoomed(), r.w.IsDraining, s.Status != 200:
		default:
			s.Fail("its stream ended (reset: %v), and nobody has said why", byReset)
		}
	})
}

// Position implements simclient.ReaderJudge: one that the room has had, or has yet to have.
func (r *simReader) Position() string {
	p := r.w.standing(r.Room)
	if p.Epoch == "" {
		return ""
	}
	p.Offset = uint64(r.w.Random.IntN(int(p.Offset) + 3))
	return p.String()
}

// Lacks implements simclient.ReaderJudge.
func (r *simReader) Lacks(lastID string) string {
	if !r.keeps() {
		return ""
	}
	at, _ := hub.ParsePosition(lastID)
	if end := r.w.standing(r.Room); at != end {
		return "what is behind " + lastID + ", up to " + end.String()
	}
	return ""
}
