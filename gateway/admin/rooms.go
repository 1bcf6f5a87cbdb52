package admin

import (
	"net/http"
	"path"

	"sluice/gateway"
)

// A roomJSON is a room as the API tells of it.
type roomJSON struct {
	Room      string `json:"room"`
	Members   int    `json:"members"`
	Blocked   int    `json:"blocked"`
	Speakers  int    `json:"speakers"`
	Policy    string `json:"slow_policy"`
	IsFull    bool   `json:"full"`
	Messages  uint64 `json:"messages"`
	Backlog   int64  `json:"backlog_bytes"`
	Memory    int64  `json:"memory_bytes"`
	Owed      uint64 `json:"owed"`
	Delivered uint64 `json:"delivered"`
	Skipped   uint64 `json:"skipped"`
	Ended     uint64 `json:"ended_early"`
	Kept      uint64 `json:"kept"`
	KeptBytes int64  `json:"kept_bytes"`
	Elsewhere int    `json:"members_elsewhere,omitempty"` // on other nodes
	positionJSON
}

func tellRoom(r *gateway.RoomInfo) roomJSON {
	a := &r.Account
	return roomJSON{
		r.Name, r.Members, r.Blocked, r.Speakers, r.Policy.String(), r.IsFull,
		r.Messages, r.Backlog, r.Memory,
		a.Owed, a.Delivered, a.Skipped, a.Ended,
		r.Kept, r.KeptBytes, r.Elsewhere, positionOf(r.Position),
	}
}

// room answers GET /api/rooms/{room}.
func (h *Handler) room(w http.ResponseWriter, r *http.Request) {
	info, ok := h.gateway.Room(r.PathValue("room"))
	if !ok {
		faultNoRoom.write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellRoom(&info))
}

// roomOrders are what ?sort= may say of rooms.
var roomOrders = map[string]func(a, b *gateway.RoomInfo) int{
	"": gateway.ByMembers, "members": gateway.ByMembers,
	"memory": gateway.ByMemory, "name": gateway.ByName,
}

// listRooms answers GET /api/rooms.
func (h *Handler) listRooms(w http.ResponseWriter, r *http.Request) {
	q, fault := query(r, "pattern", "sort", "limit")
	order, isOrder := roomOrders[q["sort"]]
	limit, isLimit := limitOf(q["limit"], listed)
	if _, err := path.Match(q["pattern"], ""); fault != nil || err != nil || !isOrder || !isLimit {
		faultRoomQuery.write(w)
		return
	}
	asked := gateway.RoomQuery{Pattern: q["pattern"], Less: order, Limit: limit}
	rooms, total := h.gateway.Rooms(asked)
	answer := struct {
		Total int        `json:"total"`
		Rooms []roomJSON `json:"rooms"`
	}{total, make([]roomJSON, 0, len(rooms))}
	for i := range rooms {
		answer.Rooms = append(answer.Rooms, tellRoom(&rooms[i]))
	}
	writeJSON(w, http.StatusOK, answer)
}
