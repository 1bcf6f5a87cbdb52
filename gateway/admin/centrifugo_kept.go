package admin

import (
	"context"
	"slices"

	"github.com/centrifugal/protocol"

	"sluice/gateway"
	"sluice/hub"
)

// publicationsMax is how many there are in one answer: who wants more asks on from the last offset.
const publicationsMax = listedMax

// cHistory: channel, limit, since{offset, epoch}, reverse. Without a limit it tells the position
// alone, and a negative one is all that an answer may have. In reverse since is where to go back
// from.
func (h *Handler) cHistory(ctx context.Context, k *Key, p params) (any, *fault) {
	channel, ok := p.text("channel")
	var q struct {
		limit int
		since *struct {
			Offset uint64
			Epoch  string
		}
		isReverse bool
	}
	for name, to := range map[string]any{"limit": &q.limit, "since": &q.since, "reverse": &q.isReverse} {
		ok = ok && p.read(name, to)
	}
	switch {
	case !ok || channel == "":
		return nil, &cBadRequest
	case !h.allows(k, channel, mayReadKept):
		return nil, &faultRooms
	}
	if q.limit < 0 || q.limit > publicationsMax {
		q.limit = publicationsMax
	}
	start := hub.Start{Earliest: true}
	isFromStart := q.since == nil || q.since.Epoch == "" && q.since.Offset == 0 && !q.isReverse
	if !isFromStart && !q.isReverse {
		start = hub.Start{Since: hub.Position{Epoch: q.since.Epoch, Offset: q.since.Offset}}
	}
	page, err := h.gateway.Kept(ctx, channel, start, max(1, q.limit), keptBytes)
	switch {
	case err != nil:
		return nil, cFaultOf(err)
	case page.Answer != hub.Recovered, !isFromStart && q.since.Epoch != page.End.Epoch:
		return nil, &cUnrecoverable
	}
	kept := page.Messages[:min(len(page.Messages), q.limit)]
	if q.isReverse && q.limit > 0 {
		before := page.End.Offset + 1
		if !isFromStart {
			before = q.since.Offset
		}
		var fault *fault
		if kept, fault = h.keptBefore(ctx, channel, before, q.limit); fault != nil {
			return nil, fault
		}
	}
	all := make([]*protocol.Publication, 0, len(kept))
	for i := range kept {
		all = append(all, kept[i].Publication())
	}
	if q.isReverse {
		slices.Reverse(all)
	}
	return struct {
		Publications []*protocol.Publication `json:"publications"`
		Offset       uint64                  `json:"offset"`
		Epoch        string                  `json:"epoch"`
	}{all, page.End.Offset, page.End.Epoch}, nil
}

// keptBefore is the last of what is kept before an offset, as much as one answer may have. It looks
// through all that the room keeps, anew if the room lets go of what is being looked at.
func (h *Handler) keptBefore(ctx context.Context, room string, offset uint64, limit int) ([]gateway.Kept, *fault) {
	for range keptTries {
		kept, isWhole, err := h.tryKeptBefore(ctx, room, offset, limit)
		if err != nil {
			return nil, cFaultOf(err)
		}
		if isWhole {
			return kept, nil
		}
	}
	return nil, &cUnrecoverable
}

// keptTries is how often it looks.
const keptTries = 3

func (h *Handler) tryKeptBefore(ctx context.Context, room string, offset uint64, limit int) (kept []gateway.Kept, isWhole bool, err error) {
	bytes := 0
	for start, more := (hub.Start{Earliest: true}), true; more; {
		page, err := h.gateway.Kept(ctx, room, start, publicationsMax, keptBytes)
		if err != nil || page.Answer != hub.Recovered {
			return nil, false, err
		}
		for _, m := range page.Messages {
			if m.Offset >= offset {
				return kept, true, nil
			}
			kept = append(kept, m)
			bytes += len(m.Data)
			for len(kept) > limit || bytes > keptBytes && len(kept) > 1 {
				bytes -= len(kept[0].Data)
				kept[0] = gateway.Kept{} // Or its bytes would be kept with the others.
				kept = kept[1:]
			}
		}
		start, more = hub.Start{Since: page.Position}, page.HasMore
	}
	return kept, true, nil
}

// cHistoryRemove: channel.
func (h *Handler) cHistoryRemove(_ context.Context, k *Key, p params) (any, *fault) {
	channel, fault := h.channelFor(k, p, gateway.Publish|gateway.History)
	if fault != nil {
		return nil, fault
	}
	if err := h.gateway.RemoveKept(channel); err != nil {
		return nil, cFaultOf(err)
	}
	return struct{}{}, nil
}
