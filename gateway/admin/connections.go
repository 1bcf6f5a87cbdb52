package admin

import (
	"context"
	"net/http"

	"sluice/gateway"
)

// A connJSON is a connection as the API tells of it.
type connJSON struct {
	ID        string `json:"id"`
	Address   string `json:"address,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Room      string `json:"room,omitempty"`
	Encoding  string `json:"encoding"`
	Messages  uint64 `json:"messages_behind"`
	Bytes     int64  `json:"bytes_behind"`
	Age       int64  `json:"behind_ms"`
	IsBlocked bool   `json:"blocked"`
	Untaken   int64  `json:"untaken_ms"`
	IsSlow    bool   `json:"slow"`
	IsSpeaker bool   `json:"speaker"`

	Subscriptions int           `json:"subscriptions,omitempty"`
	Rooms         []roomLagJSON `json:"rooms,omitempty"`
}

// A roomLagJSON is a client of the Centrifuge protocol in one of its rooms.
type roomLagJSON struct {
	Room      string `json:"room"`
	Messages  uint64 `json:"messages_behind"`
	Bytes     int64  `json:"bytes_behind"`
	Age       int64  `json:"behind_ms"`
	IsBlocked bool   `json:"blocked"`
	IsSlow    bool   `json:"slow"`
}

func tellConn(c *gateway.ConnInfo) connJSON {
	j := connJSON{
		ID: c.ID, Address: c.Address, Subject: c.Subject, Room: c.Room, Encoding: c.Encoding,
		Messages: c.Lag.Messages, Bytes: c.Lag.Bytes, Age: c.Lag.Age.Milliseconds(),
		IsBlocked: c.IsBlocked, Untaken: c.Untaken.Milliseconds(), IsSlow: c.IsSlow,
		IsSpeaker: c.IsSpeaker, Subscriptions: c.Subscriptions,
	}
	for _, r := range c.Rooms {
		j.Rooms = append(j.Rooms, roomLagJSON{
			r.Room, r.Lag.Messages, r.Lag.Bytes, r.Lag.Age.Milliseconds(), r.IsBlocked, r.IsSlow,
		})
	}
	return j
}

// listConnections answers GET /api/connections.
func (h *Handler) listConnections(w http.ResponseWriter, r *http.Request) {
	q, fault := query(r, "room", "subject", "sort", "limit")
	limit, isLimit := limitOf(q["limit"], listed)
	if sort := q["sort"]; fault != nil || !isLimit || sort != "" && sort != "lag" && sort != "id" {
		faultConnQuery.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	conns, total, err := h.gateway.Connections(ctx, gateway.ConnQuery{
		Room: q["room"], Subject: q["subject"], ByLag: q["sort"] != "id", Limit: limit,
	})
	if err != nil {
		faultOf(err).write(w)
		return
	}
	answer := struct {
		Total       int        `json:"total"`
		Connections []connJSON `json:"connections"`
	}{total, make([]connJSON, 0, len(conns))}
	for i := range conns {
		answer.Connections = append(answer.Connections, tellConn(&conns[i]))
	}
	writeJSON(w, http.StatusOK, answer)
}

// connection answers GET /api/connections/{id}.
func (h *Handler) connection(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	info, err := h.gateway.Connection(ctx, r.PathValue("id"))
	if err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellConn(&info))
}
