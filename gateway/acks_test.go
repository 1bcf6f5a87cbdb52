package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A reply to publish says that the cluster has the message. Other commands do not wait for it, and
// replies to publish keep their order.
func TestPublishIsAnsweredWithItsAcknowledgement(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	cfg := clustered(c, &node)
	s, addr := startGateway(t, cfg)
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
	awaitMembers(t, s, "a", 1)
	awaitMembers(t, s, "b", 1)
	c.set(func() { c.isHeld = true })
	p.say(`{"id":4,"publish":{"channel":"a","data":4}}`, `{"id":5,"publish":{"channel":"b","data":5}}`, `{"id":6,"publish":{"channel":"c","data":6}}`, `{"id":7,"unsubscribe":{"channel":"a"}}`)
	p.expect(`{"id":7,"unsubscribe":{}}`)
	testenv.Eventually(t, "all are on their way", func() (isSo bool) { c.set(func() { isSo = len(c.waiting) == 3 }); return isSo })
	c.set(func() { // The answers come in another order.
		c.isHeld = false
		c.waiting[0], c.waiting[2] = c.waiting[2], c.waiting[0]
	})
	var replies []string
	for len(replies) < 3 {
		if line := p.next(); strings.Contains(line, `"id"`) {
			replies = append(replies, line)
		} else if !strings.Contains(line, `"channel":"b"`) {
			t.Errorf("unasked there came %s", line)
		}
	}
	for i, line := range replies {
		if !sameJSON(t, line, fmt.Sprintf(`{"id":%d,"publish":{}}`, i+4)) {
			t.Errorf("reply %d is %s", i, line)
		}
	}
	if st := testenv.StatsOf(t, s); st.Messages != 3 || st.Unacknowledged != 0 {
		t.Errorf("%d messages, %d without an answer", st.Messages, st.Unacknowledged)
	}
}

// More messages than a subscriber may have under way wait with its commands, and none is lost.
func TestSubscribersPendingRepliesAreBounded(t *testing.T) {
	c := newScripted()
	s, addr := startGateway(t, clustered(c, nil))
	p := connectPeer(t, addr)
	c.set(func() { c.isHeld = true })
	const all = 2*pendingRepliesMax + 10
	var lines []string
	for i := range all {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, i+2))
	}
	p.say(lines...)
	waiting := func() (n int) { c.set(func() { n = len(c.waiting) }); return n }
	testenv.Eventually(t, "as many as may wait do", func() bool { return waiting() == pendingRepliesMax && testenv.StatsOf(t, s).Paused > 0 })
	c.set(func() { c.isHeld = false })
	for i := range all {
		if got := p.next(); !sameJSON(t, got, fmt.Sprintf(`{"id":%d,"publish":{}}`, i+2)) {
			t.Fatalf("reply %d is %s", i, got)
		}
	}
}

// Thousands of answers may come at once. They are handed on for as long as a tick has for it, and
// others' events come in between.
func TestAcknowledgementsAreHandedOnInTurns(t *testing.T) {
	c := newScripted()
	cfg := clustered(c, nil)
	cfg.walkTime = 1 // One answer in each tick.
	s, addr := startGateway(t, cfg)
	p := connectPeer(t, addr)
	c.set(func() { c.isHeld = true })
	var lines []string
	for i := range pendingRepliesMax {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, i+2))
	}
	p.say(lines...)
	testenv.Eventually(t, "all are on their way", func() (isSo bool) { c.set(func() { isSo = len(c.waiting) == pendingRepliesMax }); return isSo })
	before := testenv.StatsOf(t, s).Loop.Ticks
	c.set(func() { c.isHeld = false })
	for i := range pendingRepliesMax {
		p.expect(fmt.Sprintf(`{"id":%d,"publish":{}}`, i+2))
	}
	if ticks := testenv.StatsOf(t, s).Loop.Ticks - before; ticks < pendingRepliesMax {
		t.Errorf("%d answers were handed on in %d ticks", pendingRepliesMax, ticks)
	}
}

// What a tick has read goes to the cluster together, and not the first message before the others.
func TestTickPublishesTogether(t *testing.T) {
	c := newScripted()
	var node *scriptedNode
	s, addr := startGateway(t, clustered(c, &node))
	raw, p := wstest.Join(t, addr, "/ws/a"), connectPeer(t, addr)
	awaitMembers(t, s, "a", 1)
	const all = 16
	var frames []byte
	var lines []string
	for i := range all {
		frames = append(frames, wstest.MaskedText(fmt.Sprint(i))...)
		lines = append(lines, fmt.Sprintf(`{"id":%d,"publish":{"channel":"b","data":1}}`, i+2))
	}
	raw.Send(frames)
	for i := range all {
		raw.ExpectFrame(ws.OpText, fmt.Sprint(i))
	}
	p.say(lines...)
	for i := range all {
		p.expect(fmt.Sprintf(`{"id":%d,"publish":{}}`, i+2))
	}
	c.set(func() {
		if !slices.Equal(node.flushed, []int{all, all}) {
			t.Errorf("in packs of %d", node.flushed)
		}
	})
}

// Of a room that takes no more nobody is read on who publishes there: what has been read is kept,
// and goes on in its order.
func TestPublishersOfAHeldRoomWait(t *testing.T) {
	for _, isTold := range []bool{true, false} {
		t.Run(fmt.Sprintf("held %v", isTold), func(t *testing.T) {
			c := newScripted()
			var node *scriptedNode
			s, addr := startGateway(t, clustered(c, &node))
			reader, raw, p := wstest.Dial(t, addr, "/ws/a"), wstest.Dial(t, addr, "/ws/a"), connectPeer(t, addr)
			p.say(`{"id":2,"subscribe":{"channel":"a"}}`)
			p.next()
			awaitMembers(t, s, "a", 3)
			full := func(isOn bool) {
				if isTold {
					node.hold("a", isOn)
					return
				}
				node.set(func() { node.isFull = isOn }) // The hold is late, and comes to nothing.
			}
			full(true)
			for i := range 3 {
				if err := raw.Write(t.Context(), websocket.MessageText, fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			p.say(`{"id":3,"publish":{"channel":"a","data":"x"}}`, `{"id":4,"publish":{"channel":"a","data":"y"}}`)
			stranger := connectPeer(t, addr)
			stranger.say(`{"id":2,"publish":{"channel":"a","data":"z"}}`)
			stranger.expect(`{"id":2,"error":{"code":111,"message":"too many requests","temporary":true}}`)
			if _, err := s.Publish("a", Message{Data: []byte("n")}); !errors.Is(err, ErrRoomFull) {
				t.Error("from outside:", err)
			}
			if isTold {
				testenv.Eventually(t, "both wait", func() bool { return testenv.StatsOf(t, s).Paused >= 2 })
			}
			full(false)
			got := map[string]bool{}
			var numbers, letters string
			for len(got) < 5 {
				_, text, err := reader.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got[string(text)] = true
				if one := strings.Trim(string(text), `"`); one < "a" {
					numbers += one
				} else {
					letters += one
				}
			}
			if numbers != "012" || letters != "xy" {
				t.Errorf("there came %s and %s", numbers, letters)
			}
		})
	}
}
