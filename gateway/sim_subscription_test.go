//go:build linux

package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/ws"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A simSubscription judges what a subscriber hears of one room, from one answer to the next.
type simSubscription struct {
	*simclient.Subscription
	w       *world
	asked   hub.Position // where its room stood when it asked
	removed uint64       // what had been removed of the history then
	next    map[*simclient.Client]int
	last    *simclient.Message
	got     []*simclient.Message // where messages may be missed
}

func (s *simSubscription) fail(format string, args ...any) {
	s.Socket.Fail("room %d: %s", s.Room, fmt.Sprintf(format, args...))
}

// most is where the room stood at most when it joined.
func (s *simSubscription) most() uint64 {
	if now := s.w.standing(s.Room); now.Epoch == s.At.Epoch {
		return now.Offset
	}
	return uint64(len(s.w.chronicleOf(s.Room, s.At.Epoch).said)) // It has ended.
}

// judgeBegin says whether it may begin where it does, and whether what it is told of that is true.
func (s *simSubscription) judgeBegin(isRecovered bool) {
	c, least, most, removed := s.w.chronicleOf(s.Room, s.At.Epoch), uint64(0), s.most(), uint64(0)
	if s.asked.Epoch == s.At.Epoch {
		least, removed = s.asked.Offset, s.removed
	}
	if isRecovered {
		s.w.subscribers.recovered++
		n := s.w.Plan.History.Messages
		switch at := s.At.Offset; {
		case !s.IsRecovering || s.At != s.Since:
			s.fail("it asked for %v, and goes on behind %v", s.Since, s.At)
		case at < min(removed, least) || n > 0 && at+uint64(n) < least:
			s.fail("it goes on behind %v, and that is not kept: %d was removed of %d", s.At, removed, least)
		case at > most:
			s.fail("it goes on behind %v, and the room's last one is %d", s.At, most)
		}
		return
	}
	since := s.Since
	if s.IsRecovering && since.Epoch == s.At.Epoch && since.Offset <= least && (since.Offset >= most || s.w.mustHave(c, since.Offset, most)) {
		s.fail("it asked for %v, which is there, and begins behind %v", since, s.At)
	}
	if wrong := s.w.mayBegin(c, s.At.Offset, least, most, removed, 0); wrong != "" {
		s.fail("%s", wrong)
	}
	if s.IsRecovering {
		s.w.subscribers.lost++
	}
}

// hears judges a message that comes to it, at an offset or zero.
func (s *simSubscription) hears(m *simclient.Message, offset uint64) {
	keeps, isLossy := s.w.Plan.History.Keeps(s.Room), s.w.Plan.IsLossy()
	next, hasHeard := s.next[m.By]
	floor := 0
	if m.By.No < len(s.Heard) {
		floor = s.Heard[m.By.No]
	}
	switch {
	case m.By.Room != s.Room:
		s.fail("message %d of client %d crossed from room %d", m.No, m.By.No, m.By.Room)
	case keeps && (offset == 0 || offset != s.At.Offset+1):
		s.fail("behind %v comes %d", s.At, offset)
	case keeps:
	case offset != 0:
		s.fail("it keeps nothing, and message %d of client %d is at %d", m.No, m.By.No, offset)
	case m.FirstSeen != 0 && m.FirstSeen < s.Asked:
		s.fail("message %d of client %d is from before it asked", m.No, m.By.No)
	case isLossy && m.No >= next:
	case !hasHeard && m.No > floor:
		s.fail("the first message of client %d is %d, but %d was sent when it had been answered", m.By.No, m.No, floor)
	case hasHeard && m.No != next:
		s.fail("message %d of client %d came where %d is due", m.No, m.By.No, next)
	}
	s.next[m.By] = m.No + 1
	if m.FirstSeen == 0 {
		m.FirstSeen = s.w.Steps
	}
	if keeps {
		s.At.Offset++
		s.w.note(s.Room, s.At, m)
	}
	s.follow(m)
	s.w.subscribers.pushes++
}

// follow holds a message to what others heard behind the last one.
func (s *simSubscription) follow(m *simclient.Message) {
	before := s.last
	s.last = m
	if s.w.Plan.IsLossy() {
		if before == nil {
			s.w.subscribers.all = append(s.w.subscribers.all, s)
		}
		s.got = append(s.got, m)
		return
	}
	if before != nil && !before.IsBefore(m) {
		s.fail("behind message %d of client %d came %d of client %d; others saw another one", before.No, before.By.No, m.No, m.By.No)
	}
}

// lacks tells what of its room it has not got.
func (s *simSubscription) lacks() string {
	if s.w.Plan.History.Keeps(s.Room) {
		if end := s.w.standing(s.Room); s.At != end {
			return fmt.Sprintf("what is behind %v in room %d, up to %v", s.At, s.Room, end)
		}
		return ""
	}
	if s.w.Plan.IsLossy() {
		return ""
	}
	for i, c := range s.w.World.Clients {
		if c.Room != s.Room || !c.Speaks() {
			continue
		}
		floor := 0
		if i < len(s.Heard) {
			floor = s.Heard[i]
		}
		if n := len(c.Sent); n > floor && s.next[c] != n {
			return fmt.Sprintf("messages of client %d in room %d: it has seen up to %d of %d", i, s.Room, s.next[c], n)
		}
	}
	return ""
}

// messageOfPush is the message that a publication has, nil if nobody has sent it so.
func (w *world) messageOfPush(p *protocol.Publication) *simclient.Message {
	var said any
	if err := json.Unmarshal(p.Data, &said); err != nil {
		return nil
	}
	if list, ok := said.([]any); ok && len(list) > 0 {
		said = list[0]
	}
	text, _ := said.(string)
	isBase64 := p.Tags["encoding"] == "base64"
	if isBase64 {
		was, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil
		}
		text = string(was)
	}
	m := w.messageNamed(text)
	switch {
	case m == nil:
	case m.IsValue && !isBase64 && bytes.Equal(compact(m.Payload), p.Data):
		return m
	case !m.IsValue && isBase64 == (m.Op == ws.OpBinary) && text == string(m.Payload):
		return m
	}
	return nil
}

// compact is a value without the space in it.
func compact(value []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return nil
	}
	return b.Bytes()
}
