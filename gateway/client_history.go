package gateway

import (
	"slices"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
)

// What one answer has of a room's history, whatever limit a client gives. It asks on from the last.
const (
	historyMax   = 1000      // publications
	historyTaken = 128 << 10 // bytes of what is kept; one publication may have more

	// historyLittle publications are answered with at once. A thousand take most of a millisecond.
	historyLittle = 32
)

// history tells what a room keeps, to those who may know, whether they are in it or not.
func (s *subscriber) history(o *order) orderStep {
	q := o.History
	if !isRoomName(q.Channel) {
		return s.fail(o, centrifuge.ErrorBadRequest)
	}
	if s.permissions(q.Channel)&(Read|History) != Read|History {
		return s.fail(o, centrifuge.ErrorPermissionDenied)
	}
	if done, isLate := s.awaitFilled(o, q.Channel); done != stepDone {
		return done
	} else if isLate {
		return s.fail(o, centrifuge.ErrorInternal)
	}
	room, err := s.w.server.keeper(q.Channel)
	if err != nil {
		return s.fail(o, centrifuge.ErrorNotAvailable)
	}
	if (q.Limit < 0 || q.Limit > historyLittle) && s.awaitTurn(o) {
		return stepWaits
	}
	if q.Limit != 0 && s.w.isBrief {
		s.standInLine()
		return stepWaits
	}
	records, end, ok := keptBy(room, q, &s.w.told)
	if !ok {
		return s.fail(o, centrifuge.ErrorUnrecoverable)
	}
	r := &protocol.HistoryResult{Offset: end.Offset, Epoch: end.Epoch, Publications: []*protocol.Publication{}} // A list, if of none.
	for i := range records {
		one := keptOf(&records[i])
		r.Publications = append(r.Publications, one.Publication())
	}
	return s.reply(o, &protocol.Reply{History: r})
}

// awaitFilled makes a command wait until a room that keeps messages has those that the cluster has
// of it. It isLate if that has been waited for.
func (s *subscriber) awaitFilled(o *order, room string) (done orderStep, isLate bool) {
	server := s.w.server
	if !server.follows() || s.w.cfg.historyOf(room) == (hub.History{}) || server.hub.Make(room) != nil {
		return stepDone, false
	}
	switch r, isThere := server.hub.Room(room); {
	case isThere && r.IsWhole():
		return stepDone, false
	case o.answer.wasJudged():
		return stepDone, true
	}
	return s.ask(&question{desk: &server.filler, room: room, answer: verdict{isTried: true}}), false
}

// keptBy reads what a room, nil if it is not there, keeps and a client asks for. Not ok: that is
// not to be had, and a part might be taken for it. The bytes that it looks at, which may be many
// more than are in the answer, are counted in looked.
func keptBy(room *hub.Room, q *protocol.HistoryRequest, looked *int) (records []hub.Record, end hub.Position, ok bool) {
	since := hub.Position{}
	if q.Since != nil {
		since = hub.Position{Epoch: q.Since.Epoch, Offset: q.Since.Offset}
	}
	if room == nil { // Nothing was ever said there.
		return nil, end, since.Epoch == ""
	}
	limit := int(q.Limit)
	if limit < 0 || limit > historyMax {
		limit = historyMax
	}
	if q.Reverse && limit > 0 {
		return keptBefore(room, since, limit, looked)
	}
	start := hub.Start{Since: since}
	if since.Epoch == "" && since.Offset > 0 {
		start.Since.Epoch = "?" // Without one it is a position of no stream.
	}
	page := readKept(room, start, limit, looked)
	return page.Records, page.End, page.Answer == hub.Recovered
}

// keptBefore are the last records before a position, or of all, the newest first. What is read at a
// time begins at its oldest, so less is asked for until the newest is within it.
func keptBefore(room *hub.Room, since hub.Position, limit int, looked *int) (records []hub.Record, end hub.Position, ok bool) {
	for ; ; limit -= (limit + 3) / 4 {
		start := hub.Start{Last: limit}
		if since.Epoch != "" {
			start = hub.Start{Since: hub.Position{Epoch: since.Epoch, Offset: max(since.Offset, uint64(limit)+1) - uint64(limit) - 1}}
		}
		page := readKept(room, start, limit, looked)
		if page.Answer == hub.TooOld { // It keeps fewer than limit before since.
			page = readKept(room, hub.Start{Earliest: true}, limit, looked)
		}
		if page.Answer != hub.Recovered || since.Epoch != "" && since.Epoch != page.End.Epoch || since.Epoch == "" && since.Offset > 0 {
			return nil, page.End, false
		}
		isWhole := !page.HasMore || limit == 1
		records = page.Records
		if since.Epoch != "" {
			isWhole = isWhole || page.Offset+1 >= since.Offset
			i, _ := slices.BinarySearchFunc(records, since.Offset, func(r hub.Record, offset uint64) int {
				return int(min(max(int64(r.Offset-offset), -1), 1))
			})
			records = records[:i]
		}
		if isWhole {
			slices.Reverse(records)
			return records, page.End, true
		}
	}
}

// readKept reads as much as one answer may have.
func readKept(room *hub.Room, start hub.Start, limit int, looked *int) hub.Page {
	page := room.Read(start, limit, historyTaken)
	for i := range page.Records {
		*looked += len(page.Records[i].Payload)
	}
	return page
}
