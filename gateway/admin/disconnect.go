package admin

import (
	"context"
	"net/http"
	"strconv"

	"sluice/gateway"
)

// A disconnectedJSON says how many connections were closed; in a cluster, too, how many nodes had
// to see to it, and how many have said that they did.
type disconnectedJSON struct {
	Disconnected int `json:"disconnected"`
	Nodes        int `json:"nodes,omitempty"`
	Answered     int `json:"answered,omitempty"`
}

func tellReach(r gateway.Reach) disconnectedJSON {
	if r.Nodes == 1 {
		return disconnectedJSON{Disconnected: r.Clients}
	}
	return disconnectedJSON{r.Clients, r.Nodes, r.Answered}
}

// disconnect answers DELETE /api/connections/{id}.
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request) {
	f, fault := farewellOf(r)
	disconnectWith(w, r, fault, func(ctx context.Context) (gateway.Reach, error) {
		return h.gateway.Disconnect(ctx, r.PathValue("id"), "", f)
	})
}

// disconnectRoom answers DELETE /api/rooms/{room}/members.
func (h *Handler) disconnectRoom(w http.ResponseWriter, r *http.Request) {
	f, fault := farewellOf(r)
	disconnectWith(w, r, fault, func(ctx context.Context) (gateway.Reach, error) {
		return h.gateway.DisconnectRoom(ctx, r.PathValue("room"), f)
	})
}

// disconnectSubject answers DELETE /api/connections?subject=ann.
func (h *Handler) disconnectSubject(w http.ResponseWriter, r *http.Request) {
	q, fault := query(r, "subject", "room", "code", "reason")
	if fault != nil || q["subject"] == "" {
		fault = &faultSubject
	}
	f, bad := farewellIn(q)
	if fault == nil {
		fault = bad
	}
	disconnectWith(w, r, fault, func(ctx context.Context) (gateway.Reach, error) {
		return h.gateway.DisconnectSubject(ctx, q["subject"], q["room"], f)
	})
}

// disconnectWith answers with the request's fault, or with what closing has reached.
func disconnectWith(
	w http.ResponseWriter, r *http.Request, fault *fault,
	closing func(context.Context) (gateway.Reach, error),
) {
	if fault != nil {
		fault.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	reach, err := closing(ctx)
	if err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellReach(reach))
}

// farewellOf reads ?code=4100&reason=text.
func farewellOf(r *http.Request) (f gateway.Farewell, fault *fault) {
	q, fault := query(r, "code", "reason")
	if fault != nil {
		return f, fault
	}
	return farewellIn(q)
}

func farewellIn(q map[string]string) (f gateway.Farewell, fault *fault) {
	f.Reason = q["reason"]
	if code := q["code"]; code != "" {
		n, err := strconv.ParseUint(code, 10, 16)
		if err != nil || n == 0 {
			return f, faultOf(gateway.ErrFarewell)
		}
		f.Code = int(n)
	}
	return f, nil
}
