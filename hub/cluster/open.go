package cluster

import (
	"context"
	"time"
)

// releaseTime is for how long a room is followed that nobody is in.
const releaseTime = 30 * time.Second

// Open follows a room and fills it from the stream with as much as its history needs: always the
// whole, because who comes later may have an older position than who comes first. After it the room
// gets every message. Of a room that is open already the filling is repeated.
//
// It waits until Rooms.Fill was called after it, or ctx ends, or the node does (ErrClosed); at once
// it may return ErrTooManyRooms. It may be called from any goroutine that is no loop's. The room is
// opened also if ctx ends meanwhile; if nobody is in it after a while, it is closed again.
func (n *Node) Open(ctx context.Context, room string) error {
	opened, err := n.doors.ask(room, n.o.RoomsMax)
	if err != nil {
		return err
	}
	n.wakeUp()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ended:
		return ErrClosed
	}
}

// IsOpen reports whether the room gets every message and has been filled. It may be called from any
// goroutine.
func (n *Node) IsOpen(room string) bool {
	n.doors.mu.RLock()
	defer n.doors.mu.RUnlock()
	d := n.doors.byRoom[room]
	return d != nil && d.isOpen
}

// Release says that nobody is in the room. Half a minute later it is followed no more, if
// Rooms.Close agrees and it was not opened again. It may be called from any goroutine.
func (n *Node) Release(room string) {
	n.doors.mu.Lock()
	if n.doors.byRoom[room] != nil {
		n.doors.released = append(n.doors.released, room)
	}
	n.doors.mu.Unlock()
	n.wakeUp()
}

// lookAtDoors opens the rooms that were asked for, and notes those that nobody is in.
func (n *Node) lookAtDoors() {
	asked, released := n.doors.take()
	for _, name := range released {
		if r := n.byName[name]; r != nil {
			r.releasedAt = max(n.now(), 1)
		}
	}
	for _, name := range asked {
		r := n.byName[name]
		if r == nil {
			r = &room{name: name, index: len(n.order)}
			n.byName[name] = r
			n.order = append(n.order, r)
		}
		r.releasedAt = 0
		n.reopen(r)
	}
}

// closeRooms follows no more what nobody has been in for a while.
func (n *Node) closeRooms(now time.Duration) {
	for i := len(n.order) - 1; i >= 0; i-- {
		r := n.order[i]
		if r.releasedAt == 0 || now-r.releasedAt < releaseTime || r.state != live {
			continue
		}
		n.doors.shut(r.name)
		if !n.rooms.Close(r.name) {
			r.releasedAt = 0
			n.doors.open(r.name)
			continue
		}
		n.broker.Unsubscribe(r.name)
		n.dropHeld(r)
		r.isGone = true
		last := n.order[len(n.order)-1]
		n.order[r.index] = last
		last.index = r.index
		n.order[len(n.order)-1] = nil
		n.order = n.order[:len(n.order)-1]
		delete(n.byName, r.name)
		n.doors.remove(r.name)
	}
}
