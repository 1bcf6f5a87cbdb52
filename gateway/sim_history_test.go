//go:build linux

package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A chronicle is all that was ever published in one epoch of a room, without any bound: what
// members, readers of events, publishers and the history itself say of it has to agree.
//
//	offset   1   2   3   4   5 …            end
//	         a   b   ?   d   e … nobody has told of the third one yet
type chronicle struct {
	room    int
	epoch   string
	said    []*simclient.Message // by offset, from 1 on; nil: not known
	removed uint64               // what is before it, and it itself, was removed
	read    uint64               // how far the history has been read
}

// chronicleOf is that of an epoch which a room was seen to have.
func (w *world) chronicleOf(room int, epoch string) *chronicle {
	c := w.chronicles[epoch]
	if c == nil {
		c = &chronicle{room: room, epoch: epoch}
		w.chronicles[epoch] = c
	}
	if c.room != room {
		w.Fail("room %d has epoch %s, which was that of room %d", room, epoch, c.room)
	}
	return c
}

// note holds what somebody says of a message's place to what others said.
func (w *world) note(room int, at hub.Position, m *simclient.Message) {
	c := w.chronicleOf(room, at.Epoch)
	if at.Offset == 0 || at.Offset > uint64(len(w.World.Clients))<<16 {
		w.Fail("message %d of client %d is said to be at %v", m.No, m.By.No, at)
		return
	}
	for uint64(len(c.said)) < at.Offset {
		c.said = append(c.said, nil)
	}
	switch known := &c.said[at.Offset-1]; {
	case *known != nil && *known != m:
		w.Fail("at %v is message %d of client %d, and others had %d of client %d there", at, m.No, m.By.No, (*known).No, (*known).By.No)
	case m.Offset != 0 && (m.Offset != at.Offset || m.Epoch != at.Epoch):
		w.Fail("message %d of client %d is at %v, and for others at %s:%d", m.No, m.By.No, at, m.Epoch, m.Offset)
	case m.By.Room != room:
		w.Fail("message %d of client %d crossed from room %d", m.No, m.By.No, m.By.Room)
	default:
		*known, m.Epoch, m.Offset = m, at.Epoch, at.Offset
	}
}

// messageOf is the message that somebody has heard, nil if nobody has sent it.
func (w *world) messageOf(op ws.OpCode, payload []byte) *simclient.Message {
	m := w.messageNamed(string(payload))
	if m == nil || m.Op != op || !bytes.Equal(m.Payload, payload) {
		return nil
	}
	return m
}

// messageNamed is the message that a text begins with the name of, or a value in JSON; nil: there
// is none.
func (w *world) messageNamed(text string) *simclient.Message {
	var by, no int
	_, err := fmt.Sscanf(strings.TrimLeft(text, `["`), simclient.MessageName, &by, &no)
	if err != nil || by >= len(w.World.Clients) || no >= len(w.World.Clients[by].Sent) {
		return nil
	}
	return w.World.Clients[by].Sent[no]
}

// recordHead is what a record takes beside its payload, and senderMax what it has of who published
// it by the Centrifuge protocol.
const (
	recordHead = 34
	senderMax  = 100
)

// mustHave says whether a room has to have all that is behind an offset, up to end: it is within
// each bound of what the room is to keep.
func (w *world) mustHave(c *chronicle, offset, end uint64) bool {
	h := &w.Plan.History
	if h.IsTight || w.wasPaused || offset < c.removed || h.Messages > 0 && end-offset > uint64(h.Messages) || end > uint64(len(c.said)) {
		return false
	}
	size := 0
	for _, m := range c.said[offset:end] {
		if m == nil || w.Kernel.Now()-m.Made+w.longest+ageSlack >= h.Age {
			return false
		}
		if size += recordHead + len(m.Payload); m.By.IsVoice() {
			size += senderMax
		}
	}
	return size <= h.Bytes
}

// ageSlack is by how much clocks of loops may differ.
const ageSlack = 100 * time.Millisecond

// mayBegin says what is wrong with beginning behind an offset for somebody who asked for the last
// so many messages, none is zero, when the room's last one was at least and at most that.
func (w *world) mayBegin(c *chronicle, offset, least, most, removed uint64, last int) string {
	if n := w.Plan.History.Messages; n > 0 {
		last = min(last, n)
	}
	fewest := uint64(0)
	for fewest < min(uint64(last), most) && w.mustHave(c, most-fewest-1, most) {
		fewest++
	}
	switch {
	case offset > most-fewest:
		return fmt.Sprintf("it begins behind %d, at %d at the latest, and the room has to have the %d before", offset, most, fewest)
	case offset+uint64(last) < least:
		return fmt.Sprintf("it begins behind %d, at %d at least, and is to have %d messages at most", offset, least, last)
	case last > 0 && offset < min(removed, least):
		return fmt.Sprintf("it begins behind %d, and what is up to %d was removed", offset, removed)
	}
	return ""
}

// standing is a room's last position at this moment; without an epoch the room is not there.
func (w *world) standing(room int) hub.Position {
	if r, ok := w.server.hub.Room(simclient.RoomName(room)); ok {
		return r.Stats().Position
	}
	return hub.Position{}
}

// readHistories reads what rooms keep that was published since it last did so.
func (w *world) readHistories() {
	for no := range w.Plan.History.Rooms {
		r, ok := w.server.hub.Room(simclient.RoomName(no))
		if !ok {
			continue
		}
		end := r.Stats().Position
		c := w.chronicleOf(no, end.Epoch)
		if c.read == end.Offset {
			continue
		}
		page := r.Read(hub.Start{Since: hub.Position{Epoch: c.epoch, Offset: c.read}}, 1<<20, 1<<30)
		if page.Answer == hub.TooOld {
			if w.mustHave(c, c.read, end.Offset) {
				w.Fail("room %d does not have all behind %d", no, c.read)
			}
			page = r.Read(hub.Start{Earliest: true}, 1<<20, 1<<30)
		}
		if page.HasMore || page.End != end || page.Answer != hub.Recovered {
			w.Fail("room %d is read up to %v of %v, and more is left: %v (%v)", no, page.Position, end, page.HasMore, page.Answer)
		}
		for i := range page.Records {
			k := &page.Records[i]
			if m := w.messageOf(ws.OpCode(k.Kind&^kindValue), k.Payload); m != nil && m.IsValue == (k.Kind&kindValue != 0) {
				w.note(no, hub.Position{Epoch: end.Epoch, Offset: k.Offset}, m)
			} else {
				w.Fail("room %d keeps a message that nobody sent: %q", no, k.Payload)
			}
		}
		c.read = end.Offset
	}
}

// checkChronicles checks, at the end, that of what one client has said all came, in its order, as
// far as all is known.
func (w *world) checkChronicles() {
	for _, c := range w.chronicles {
		next := map[*simclient.Client]int{}
		for i, m := range c.said {
			if m == nil {
				next = nil
			}
			if next == nil {
				continue
			}
			if due, ok := next[m.By]; ok && m.No != due {
				w.Fail("at %s:%d is message %d of client %d, and %d is due", c.epoch, i+1, m.No, m.By.No, due)
			}
			next[m.By] = m.No + 1
		}
		w.told += len(c.said)
	}
}

// Publish implements simclient.Outsider.
func (w *world) Publish(room int, m *simclient.Message) bool {
	before, members := w.standing(room), 0
	if r, ok := w.server.hub.Room(simclient.RoomName(room)); ok {
		members = r.Stats().Members
	}
	p, err := w.server.PublishAt(simclient.RoomName(room), Message{Data: m.Payload, IsBinary: m.Op == ws.OpBinary})
	switch {
	case errors.Is(err, ErrRoomFull), errors.Is(err, ErrMemory):
		return false
	case err != nil:
		w.Fail("publishing into room %d: %w", room, err)
		return false
	}
	if p.Epoch == before.Epoch && p.Offset != before.Offset+1 || p.Epoch != before.Epoch && p.Offset != 1 {
		w.Fail("published into room %d at %v, behind %v", room, p.Position, before)
	}
	if p.Members != members {
		w.Fail("published into room %d for %d members, and there are %d", room, p.Members, members)
	}
	w.note(room, p.Position, m)
	return true
}

// Remove implements simclient.Outsider.
func (w *world) Remove(room int) {
	at := w.standing(room)
	if err := w.server.RemoveKept(simclient.RoomName(room)); err != nil {
		w.Fail("removing what room %d keeps: %w", room, err)
	}
	page, err := w.server.Kept(context.Background(), simclient.RoomName(room), hub.Start{}, 1, 1)
	if err != nil || len(page.Messages) > 0 {
		w.Fail("room %d keeps %d messages behind their removal; %v", room, len(page.Messages), err)
	}
	if at.Epoch != "" {
		w.chronicleOf(room, at.Epoch).removed = at.Offset
		w.removals++
	}
}

// expire does what the server does beside its loops, at its times.
func (w *world) expire() {
	if w.Plan.History.Rooms == 0 || w.Kernel.Now() < w.expired+expireEvery {
		return
	}
	w.expired = w.Kernel.Now()
	w.server.hub.Expire(w.server.workers[0].loop.Elapsed())
}

// forsake makes all readers of the first room leave it until it has ended, and come back into
// another epoch.
func (w *world) forsake() {
	if w.Err != nil || !w.Plan.History.IsForsaken {
		return
	}
	w.Kernel.Note("a room is forsaken")
	for _, r := range w.readers {
		r.Forsake()
	}
	for _, s := range w.World.Subscribers {
		s.Forsake()
	}
	w.until("forsaking", func() string {
		if at := w.standing(0); at.Epoch != "" {
			return "a room to end"
		}
		return ""
	})
	for _, r := range w.readers {
		r.Recall()
	}
	for _, s := range w.World.Subscribers {
		s.Recall()
	}
	w.heal()
}

// A keptTally counts what seeds have said of histories.
type keptTally struct {
	seeds, epochs, messages   int // plans with any, epochs of their rooms, positions that are known
	resumed, resets, overruns int // streams that began where they asked, or with a reset; resets in their midst
	removals                  int
	built                     uint64 // encodings that came to be read late
	answers                   [hub.NumAnswers]uint64
}

func (k *keptTally) add(w *world) {
	if w.Plan.History.Rooms == 0 {
		return
	}
	k.seeds++
	k.epochs += len(w.chronicles)
	k.messages += w.told
	k.resumed += w.resumed
	k.resets += w.resets
	k.overruns += w.overran
	k.removals += w.removals
	k.built += w.server.hub.Histories().Built
	for _, l := range w.loops {
		for a, n := range l.w.fan.Stats().Joined {
			k.answers[a] += n
		}
	}
}

// isWhole says that what histories are for was there, and of many seeds that the rarest of it was,
// too.
func (k *keptTally) isWhole(areMany bool) bool {
	isThere := k.epochs > k.seeds && min(k.messages, k.resumed, k.resets) > 0 && k.built > 0
	if !areMany {
		return isThere
	}
	for _, n := range k.answers {
		isThere = isThere && n > 0
	}
	return isThere && min(k.overruns, k.removals) > 0
}
