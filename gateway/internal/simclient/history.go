//go:build linux

package simclient

import (
	"math/rand/v2"
	"time"
)

// A History is what a plan has of rooms that keep messages. Two plans of three have none of them.
type History struct {
	Rooms       int // the first so many of the plan's rooms keep messages; zero: none
	Messages    int // … at most, if it is not zero
	Bytes       int // … of records
	Age         time.Duration
	Memory      int  // of all those rooms
	IsTight     bool // Memory may take what one room is to keep
	Readers     int  // of events
	IsForsaken  bool // there comes a time when nobody is in the first room, until it has ended
	removes     int  // times in a thousand of its turns that a publisher from outside has the history removed
	outside     int  // publishers from outside
	outsideMost int  // … and most messages of each
}

// HistoryStream keeps what DrawHistory draws apart from all else.
const HistoryStream = 102

// DrawHistory draws which rooms keep messages, and who comes for those. Where loops are several one
// room does: what is done for all such rooms is done in an order that no seed decides.
func (p *Plan) DrawHistory(r *rand.Rand) {
	if p.IsSteady || r.IntN(3) > 0 {
		return
	}
	between := func(least, most int) int { return least + r.IntN(most-least+1) }
	h := &p.History
	h.Rooms = 1
	if p.Loops == 1 {
		h.Rooms = between(1, p.Rooms)
	}
	h.Messages = []int{0, between(1, 5), between(10, 60)}[r.IntN(3)]
	h.Bytes = between(1<<10, 8<<10)
	h.Age = time.Duration(between(1000, 15_000)) * time.Millisecond
	h.Memory = 16 << 20
	if h.IsTight = r.IntN(4) == 0; h.IsTight {
		h.Memory = max(h.Bytes, p.Backlog)
		h.Memory += r.IntN(h.Memory)
	}
	h.Readers = between(1, 8)
	h.outside, h.outsideMost = between(0, 2), between(1, 60)
	if r.IntN(3) == 0 {
		h.removes = between(5, 50)
	}
	if h.IsForsaken = r.IntN(5) == 0 && !p.isCrowd; h.IsForsaken {
		p.Rooms, h.Rooms, h.outside = max(2, p.Rooms), 1, max(1, h.outside)
	}
}

// Keeps says whether a room keeps messages.
func (h *History) Keeps(room int) bool { return room < h.Rooms }

// makeHistory draws what the clients of the plan want of its histories, and its readers of events.
func (w *World) makeHistory() {
	h, r := &w.Plan.History, w.Random
	if h.Rooms == 0 {
		return
	}
	for _, c := range w.Clients {
		if h.IsForsaken { // All of its rooms but one are theirs.
			c.Room = h.Rooms + c.Room%(w.Plan.Rooms-h.Rooms)
		}
		if r.IntN(2) == 0 {
			c.Wants = []int{1, 1 + r.IntN(10), All}[r.IntN(3)]
		}
	}
	for range h.outside {
		c := &Client{w: w, No: len(w.Clients), Room: r.IntN(h.Rooms), Kind: outside, quota: r.IntN(h.outsideMost + 1), lastPing: -1}
		c.makeSeen()
		w.Clients = append(w.Clients, c)
	}
	for no := range h.Readers {
		e := &Reader{w: w, No: no, Room: r.IntN(h.Rooms), sip: 1 + r.IntN(64), cuts: r.IntN(8)}
		if !h.IsForsaken && r.IntN(8) == 0 {
			e.Room = r.IntN(w.Plan.Rooms)
		}
		e.kind = []kind{good, good, good, slow, pauser}[r.IntN(5)]
		if r.IntN(2) == 0 {
			e.start = r.IntN(w.Plan.Steps)
		}
		e.pause = e.start + r.IntN(w.Plan.Steps)
		w.Readers = append(w.Readers, e)
	}
}

// All, wanted, is all that a room keeps.
const All = 1 << 30

// actFromOutside is a turn of a publisher that is no client: a program's own goroutine.
func (c *Client) actFromOutside() bool {
	r := c.w.Random
	switch {
	case c.quota > 0 && r.IntN(1000) < c.w.Plan.History.removes && !c.w.IsHealing:
		c.w.Outside.Remove(c.Room)
		return true
	case c.quota > 0 && (c.w.IsHealing || r.IntN(4) == 0):
		if c.publishFromOutside() {
			c.quota--
			return true
		}
	case c.quota == 0 && c.w.IsHealing && !c.lastWords && !c.isLeaving:
		c.lastWords = c.publishFromOutside()
		return c.lastWords
	}
	return false
}

// publishFromOutside reports whether its message was taken. What was not nobody has said.
func (c *Client) publishFromOutside() bool {
	m := c.w.newMessage(c)
	if c.w.Outside.Publish(c.Room, m) {
		return true
	}
	c.Sent = c.Sent[:len(c.Sent)-1]
	return false
}
