package gateway

import (
	"errors"
	"strconv"

	"sluice/hub"
	"sluice/wsproto"
)

// lastAll asks for all that the room keeps.
const lastAll = "all"

// lastMax is more than any room keeps.
const lastMax = 1<<31 - 1

// lastOf reads last=N, behind the path: with how many of the messages that its room keeps a client
// wants to begin, or last=all. Zero is with none, as without it.
func lastOf(query []byte) (n int, refusal *wsproto.Refusal) {
	said := ""
	for v := range queryValues(query, "last") {
		one, err := strconv.ParseUint(v, 10, 31)
		if v == lastAll {
			one, err = lastMax, nil
		}
		if err != nil || said != "" && v != said {
			return 0, wsproto.Refuse(wsproto.ReasonLast)
		}
		said, n = v, int(one)
	}
	return n, nil
}

// startOf tells by what stands behind the path where a client wants to begin, and what leave that
// takes: the messages that a room keeps are not for everybody who may hear it. One that hears
// nothing begins nowhere.
func startOf(query []byte, hears bool) (start hub.Start, want Permission, refusal *wsproto.Refusal) {
	start.Last, refusal = lastOf(query)
	switch {
	case refusal != nil:
	case !hears && start.Last > 0:
		refusal = wsproto.Refuse(wsproto.ReasonLast)
	case !hears:
		want = Publish
	case start.Last > 0:
		want = Read | History
	default:
		want = Read
	}
	return start, want, refusal
}

// joinAt makes the client join a room where it wants to begin. In a room with a history it may have
// to wait until what is kept was made in its encoding: then it returns the question to park it for.
// answer is what came of one before.
func (c *conn) joinAt(room string, e hub.Encoding, start hub.Start, who *Principal, answer *verdict) (hub.Joined, *question, *wsproto.Refusal) {
	start.IsUnfilled = answer != nil && (answer.isLate || answer.isEven)
	start.IsHere = !c.mayMove(answer)
	if to := c.w.placeFor(room); to != nil && !start.IsHere {
		return hub.Joined{}, moveTo(to, who, answer), nil
	}
	joined, err := c.w.fan.Join(c.w.loop.Now(), room, e, start, &c.reader, c)
	if err == nil {
		return joined, nil, nil
	}
	if to := c.w.homeBy(err); to != nil {
		return joined, moveTo(to, who, answer), nil
	}
	q, refusal := c.waitFor(err, room, e, start.Since, who, answer)
	if q != nil && answer != nil {
		q.answer.moves = answer.moves
	}
	return joined, q, refusal
}

// waitFor returns the question for which a client waits that could not join a room at once, or the
// refusal if it has waited for that already.
func (c *conn) waitFor(err error, room string, e hub.Encoding, since hub.Position, who *Principal, answer *verdict) (*question, *wsproto.Refusal) {
	switch {
	case errors.Is(err, hub.ErrNotFilled) && (answer == nil || !answer.isTried):
		return &question{c: c, desk: &c.w.server.filler, room: room, answer: verdict{who: *who, isTried: true}}, nil
	case errors.Is(err, hub.ErrNotFilled):
		return nil, wsproto.Refuse(wsproto.ReasonHistory)
	case errors.Is(err, hub.ErrAhead):
		return &question{c: c, desk: &c.w.server.chaser, room: room, since: since, answer: verdict{who: *who, isTried: true, isEven: true}}, nil
	case !errors.Is(err, hub.ErrNotBuilt):
		return nil, refuseNewRoom(err)
	case answer != nil && answer.isBuilt: // So much is published that it was dropped before it was done.
		return nil, wsproto.Refuse(wsproto.ReasonHistory)
	}
	q := &question{c: c, desk: &c.w.server.builder, room: room, encoding: e}
	q.answer = verdict{who: *who, isBuilt: true}
	if answer != nil {
		q.answer.isTried, q.answer.isEven = answer.isTried, answer.isEven
	}
	return q, nil
}

// joinToSpeak makes the client join a room in which it hears nothing, or returns the question by
// which it moves to that room's home.
func (c *conn) joinToSpeak(room string, e hub.Encoding, who *Principal, answer *verdict) (*question, *wsproto.Refusal) {
	mayMove := c.mayMove(answer)
	if to := c.w.placeFor(room); to != nil && mayMove {
		return moveTo(to, who, answer), nil
	}
	err := c.w.fan.JoinToSpeak(room, e, hub.Start{IsHere: !mayMove}, &c.reader, c)
	if to := c.w.homeBy(err); to != nil {
		return moveTo(to, who, answer), nil
	}
	if err != nil {
		return nil, refuseNewRoom(err)
	}
	return nil, nil
}

// refuseNewRoom is the answer where there can be no further room.
func refuseNewRoom(err error) *wsproto.Refusal {
	if errors.Is(err, hub.ErrNoNewRooms) {
		return wsproto.Refuse(wsproto.ReasonRoomMemory)
	}
	return wsproto.Refuse(wsproto.ReasonRooms)
}

// waitsForHistory reports whether the connection is parked until its room's history was made, or
// came.
func (c *conn) waitsForHistory() bool {
	if !c.isParked() || c.in == nil || c.in.question == nil {
		return false
	}
	desk, s := c.in.question.desk, c.w.server
	return desk == &s.builder || desk == &s.filler || desk == &s.chaser
}
