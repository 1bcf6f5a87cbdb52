package hub

import (
	"fmt"
	"sync"
)

// Limits bound what a room holds and how far its publishers may run ahead. Sizes are in bytes.
type Limits struct {
	// Backlog is what a room retains for members that have fallen behind. It must exceed the largest frame.
	Backlog int64
	// Window is how far a room's publishers may be ahead of its sweeps, and of most of its members, before they wait.
	Window int64
}

// Hub is the directory of rooms. Rooms are made by the first join and removed by the last leave. A Hub is safe for
// concurrent use.
type Hub struct {
	limits Limits

	mu    sync.Mutex
	rooms map[string]*Room
}

// New returns a hub without rooms.
func New(l Limits) (*Hub, error) {
	if l.Backlog <= 0 || l.Window <= 0 {
		return nil, fmt.Errorf("hub: backlog %d and window %d must be positive", l.Backlog, l.Window)
	}
	return &Hub{limits: l, rooms: map[string]*Room{}}, nil
}

// Rooms is the number of rooms at this moment.
func (h *Hub) Rooms() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms)
}

// Room returns the room of that name if it exists.
func (h *Hub) Room(name string) (*Room, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	return r, ok
}

func (h *Hub) roomOrNew(name string) *Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	if !ok {
		r = newRoom(h, name)
		h.rooms[name] = r
	}
	return r
}

// forget removes a closed room from the directory. Another of the same name may have taken its place.
func (h *Hub) forget(r *Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rooms[r.name] == r {
		delete(h.rooms, r.name)
	}
}
