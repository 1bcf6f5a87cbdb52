package admin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"

	"sluice/gateway"
	"sluice/hub"
)

const (
	// keptBytes bounds what one answer has of kept messages, unless it is a single one.
	keptBytes = 4 << 20
	// allKept asks for all that a room keeps.
	allKept = "all"

	mayReadKept = gateway.Read | gateway.History
)

// A keptJSON is a kept message as the API tells of it: of text and base64 it has one.
type keptJSON struct {
	Epoch  string  `json:"epoch"`
	Offset uint64  `json:"offset"`
	TimeMS int64   `json:"time_ms"` // since 1970
	Text   *string `json:"text,omitempty"`
	Base64 *string `json:"base64,omitempty"`
}

func tellKept(epoch string, m *gateway.Kept) keptJSON {
	told := keptJSON{Epoch: epoch, Offset: m.Offset, TimeMS: m.Millis}
	text, to := string(m.Data), &told.Text
	if m.IsBinary {
		text, to = base64.StdEncoding.EncodeToString(m.Data), &told.Base64
	}
	*to = &text
	return told
}

// readKept answers GET /api/rooms/{room}/messages: what the room keeps, a message on each line,
// behind since=EPOCH:OFFSET or the last=N, and otherwise from the oldest. Sluice-Position is behind
// the last line, for since, and Sluice-More says whether more is kept there already.
func (h *Handler) readKept(w http.ResponseWriter, r *http.Request) {
	q, bad := query(r, "since", "last", "limit")
	limit, isLimit := limitOf(q["limit"], listed)
	start, isStart := startOf(q)
	if bad != nil || !isLimit || !isStart {
		faultKeptQuery.write(w)
		return
	}
	page, err := h.gateway.Kept(r.Context(), r.PathValue("room"), start, limit, keptBytes)
	if err != nil {
		faultOf(err).write(w)
		return
	}
	if page.Answer != hub.Recovered {
		writeJSON(w, http.StatusGone, struct {
			Error *fault `json:"error"`
			positionJSON
		}{faultOfAnswer(page.Answer), positionOf(page.End)})
		return
	}
	var lines []byte
	for i := range page.Messages {
		line, _ := json.Marshal(tellKept(page.End.Epoch, &page.Messages[i]))
		lines = append(append(lines, line...), '\n')
	}
	if page.Position.Epoch != "" {
		w.Header().Set("Sluice-Position", page.Position.String())
	}
	w.Header().Set("Sluice-More", strconv.FormatBool(page.HasMore))
	writeTyped(w, http.StatusOK, "application/x-ndjson", lines)
}

// startOf reads where to begin: since a position or with the last so many, not both.
func startOf(q map[string]string) (start hub.Start, ok bool) {
	since, hasSince := q["since"]
	last, hasLast := q["last"]
	switch {
	case hasSince && hasLast:
		return start, false
	case hasSince:
		start.Since, ok = hub.ParsePosition(since)
		return start, ok
	case last == allKept:
		return hub.Start{Earliest: true}, true
	case hasLast:
		n, err := strconv.ParseUint(last, 10, 31)
		start.Last = int(n)
		return start, err == nil && n > 0
	}
	return hub.Start{Earliest: true}, true
}

// removeKept answers DELETE /api/rooms/{room}/messages.
func (h *Handler) removeKept(w http.ResponseWriter, r *http.Request) {
	if err := h.gateway.RemoveKept(r.PathValue("room")); err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}

// A positionJSON is one as answers have it: nothing in a room that keeps nothing.
type positionJSON struct {
	Epoch  string `json:"epoch,omitempty"`
	Offset uint64 `json:"offset,omitempty"`
}

func positionOf(p hub.Position) positionJSON { return positionJSON{p.Epoch, p.Offset} }

// faultOfAnswer is why what is behind a position is not to be had.
func faultOfAnswer(a hub.Answer) *fault {
	switch a {
	case hub.WrongEpoch:
		return &faultEpoch
	case hub.TooOld:
		return &faultTooOld
	}
	return &faultBeyond
}
