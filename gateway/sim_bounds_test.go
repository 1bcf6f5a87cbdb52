//go:build linux

package gateway

import (
	"sluice/gateway/internal/simclient"
	"sluice/hub"
	"sluice/wsproto"
)

// segmentMax is what a segment of a simulated room costs at most: its bytes, and four bytes for
// each frame it has room for.
func (w *world) segmentMax() int64 {
	if w.Plan.Subscribers.Number > 0 {
		return 7 * int64(max(1<<10, w.pushMax()+10))
	}
	return 3 * int64(max(1<<10, w.Plan.Message+10))
}

// pushMax is the longest push of a message: one of bytes, with who has published it.
func (w *world) pushMax() int { return (w.Plan.Message+2)/3*4 + 300 }

// heldMax is what a room may hold: backlog, window and a segment of each track; and what it is to
// keep, in as many.
func (w *world) heldMax(keeps bool) int64 {
	most := int64(w.Plan.Backlog) + int64(w.Plan.Window) + 2*w.segmentMax()
	if keeps {
		most += w.historyTracks() * (int64(w.Plan.History.Bytes) + w.segmentMax())
	}
	return most
}

// historyTracks is how much larger a history is in all encodings than what it keeps. An event takes
// at most 1.7 times as much as a record, and frames less; each of four kinds of pushes up to six
// times as much.
func (w *world) historyTracks() int64 {
	if w.Plan.Subscribers.Number > 0 {
		return 5 + 4*pushPerRecord
	}
	return 5
}

const pushPerRecord = 6

// lagMax is how far a member may be behind: what the room holds, what a loop may leave unanswered,
// and one message by which each publisher may overshoot.
func (w *world) lagMax(r *hub.Room) int64 {
	return w.heldMax(r.Epoch() != "") + 2*w.segmentMax() + int64(len(w.World.Clients))*(w.segmentMax()/3)
}

func (w *world) inspectRooms() {
	for no := range w.Plan.Rooms {
		if r, ok := w.server.hub.Room(simclient.RoomName(no)); ok {
			if held, most := r.Stats().Held, w.heldMax(w.Plan.History.Keeps(no)); held > most {
				w.Fail("room %d holds %d bytes, the bound is %d", no, held, most)
			}
		}
	}
}

// frameMax is the longest frame of a room, be it an event of bytes.
func (w *world) frameMax() int {
	if w.Plan.Subscribers.Number > 0 {
		return w.pushMax()
	}
	if w.Plan.History.Readers > 0 {
		return eventSize(wsproto.Message{Op: wsproto.OpBinary, Payload: make([]byte, w.Plan.Message)})
	}
	return w.Plan.Message + simclient.HeaderMax
}

// inspectBounds holds what limits bound to their bounds, whatever the loops are in the middle of.
func (w *world) inspectBounds() {
	cfg := w.server.config()
	busy := 0
	for i, l := range w.loops {
		most := cfg.assemblyShare()
		if !l.isAsleep && !l.hasEnded { // Of the read at hand it may have taken what it is just giving up others for.
			busy++
			most += w.inputMax()
		}
		if held := l.w.inputBudget.held; held > most {
			w.Fail("the connections of loop %d hold %d bytes of unfinished input, the bound is %d", i, held, most)
		}
	}
	if pinned, most := w.server.hub.Pinned(), int64(cfg.PinnedMemory)+int64(busy*w.frameMax()); pinned > most {
		w.Fail("%d bytes of dropped frames are kept, the bound is %d", pinned, most)
	}
	// Each loop may publish one message more than there is room for, before it knows that, and pin
	// a frame, however little there is.
	most := int64(cfg.BacklogMemory) + int64(len(w.loops))*(2*w.segmentMax()+int64(w.frameMax()))
	taken, kept := w.server.hub.Pinned(), int64(0)
	for no := range w.Plan.Rooms {
		if r, ok := w.server.hub.Room(simclient.RoomName(no)); ok {
			if memory := r.Stats().Memory; w.Plan.History.Keeps(no) {
				kept += memory
			} else {
				taken += memory
			}
		}
	}
	retained := w.server.hub.Retained()
	if w.Plan.History.Rooms > 0 {
		counted := w.server.hub.Histories().Memory
		w.inspectHistories(kept, counted)
		retained -= counted
	}
	if retained > most || retained != taken {
		w.Fail("all rooms take %d bytes, %d by their count, the bound is %d", taken, retained, most)
	}
}

// inspectHistories holds what rooms that keep messages take to their own bound. What is being built
// counts beside them.
func (w *world) inspectHistories(taken, counted int64) {
	chain := int64(0)
	if w.builder.isBusy {
		chain = w.chainMax()
	}
	// As with other rooms, but that others publish there than loops, too.
	most := int64(w.Plan.History.Memory) + int64(len(w.loops)+1)*(2*w.segmentMax()+int64(w.frameMax())) + chain
	if counted > most || counted < taken || counted > taken+chain {
		w.Fail("rooms that keep messages take %d bytes, %d by their count, the bound is %d", taken, counted, most)
	}
}

// chainMax is what a build may take before it is joined: what a room has, in the largest encoding.
func (w *world) chainMax() int64 {
	times := int64(2)
	if w.Plan.Subscribers.Number > 0 {
		times = pushPerRecord
	}
	return times*(int64(w.Plan.History.Bytes)+int64(w.Plan.Backlog)) + 4*w.segmentMax()
}
