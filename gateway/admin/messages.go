package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sluice/gateway"
)

// publish answers POST /api/rooms/{room}/messages: the body is the message.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request) {
	room, repeat := r.PathValue("room"), ""
	if given := r.Header.Values("Idempotency-Key"); len(given) > 0 {
		if repeat = given[0]; len(given) > 1 || !isRepeatKey(repeat) {
			faultKeyText.write(w)
			return
		}
	}
	what, fault := kindOf(r.Header)
	switch {
	case fault != nil:
		fault.write(w)
		return
	case what == isBatch:
		h.publishBatch(w, r, room, repeat)
		return
	}
	var p published
	fault = readBody(w, r, h.gateway.MaxMessage(), func(body []byte) {
		p = h.publishOne(usedKey(r), room, repeat, gateway.Message{Data: body, IsBinary: what == isBinary})
	})
	if fault == nil {
		fault = p.fault
	}
	if fault != nil {
		fault.write(w)
		return
	}
	writeBytes(w, http.StatusOK, append(p.append(nil), '\n'))
}

// publishOne publishes one message: once under a repeat key, and within the key's rate.
func (h *Handler) publishOne(k *Key, room, repeat string, m gateway.Message) published {
	now := h.clock.now()
	return h.repeats.do(room, repeat, now, func() published {
		if lacks := h.lacks(k, now); lacks != nil {
			return published{fault: lacks}
		}
		m.Key = repeat
		p, err := h.gateway.PublishAt(room, m)
		return published{p, faultOf(err)}
	})
}

// lacks takes one message from the key's rate: nil, or what is told to who is over it.
func (h *Handler) lacks(k *Key, now time.Duration) *fault {
	if lacks := k.take(h.rules.Load().rate, now); lacks > 0 {
		return faultRate.after(int((lacks + time.Second - 1) / time.Second))
	}
	return nil
}

// append writes {"members":3}, and the position where there is one.
func (p *published) append(dst []byte) []byte {
	dst = append(dst, `{"members":`...)
	dst = strconv.AppendInt(dst, int64(p.Members), 10)
	if p.Epoch != "" { // Of letters and digits.
		dst = append(append(dst, `,"epoch":"`...), p.Epoch...)
		dst = strconv.AppendUint(append(dst, `","offset":`...), p.Offset, 10)
	}
	return append(dst, '}')
}

// send answers POST /api/connections/{id}/messages.
func (h *Handler) send(w http.ResponseWriter, r *http.Request) {
	what, fault := kindOf(r.Header)
	if what == isBatch {
		fault = &faultBatch
	}
	if fault != nil {
		fault.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	var err error
	fault = readBody(w, r, h.gateway.MaxMessage(), func(body []byte) {
		err = h.gateway.Send(ctx, r.PathValue("id"), gateway.Message{Data: body, IsBinary: what == isBinary})
	})
	if fault == nil {
		fault = faultOf(err)
	}
	if fault != nil {
		fault.write(w)
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}
