package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/hub"
)

const (
	// openersMax is how many rooms are being opened at a time.
	openersMax = 16
	// openAgain is when a room is opened again that could not be.
	openAgain = time.Second
)

var errRoomEnded = errors.New("gateway: the room has ended")

// An opener has the cluster's messages come of every room that is there, and says so when a room
// ends. A room that is made is opened by one of a few goroutines, which are there while there is
// something to open, again and again until it is filled. A client that wants to read what it keeps
// waits for that.
type opener struct {
	hub      *hub.Hub
	cluster  Cluster
	patience func() time.Duration // with one try
	life     context.Context      // the server's …
	spawn    func(task func())    // … which ends when its tasks have

	mu      sync.Mutex // below the hub's directory, and above what Cluster.Release takes
	rooms   map[string]*opening
	queue   []*opening // as many as there are rooms, at most, and some that have ended
	running int

	holding sync.Mutex // before a room's lock
	held    map[string]bool
}

// An opening is a room that is there and has yet to be filled.
type opening struct {
	room  string
	tried chan struct{} // closed with the next try's end …
	err   error         // … which is this then
}

// init is called before there are rooms, and before there is the cluster, which may hold some.
func (o *opener) init(life context.Context, h *hub.Hub, spawn func(task func()), patience func() time.Duration) {
	o.life, o.hub, o.spawn, o.patience = life, h, spawn, patience
	o.rooms, o.held = map[string]*opening{}, map[string]bool{}
}

// onRoom hears of rooms that are made and end: hub.Options.OnRoom.
func (o *opener) onRoom(room string, isThere bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if isThere {
		o.add(room)
		return
	}
	o.end(room, errRoomEnded)
	o.cluster.Release(room)
}

// add has a room opened. The caller holds the lock.
func (o *opener) add(room string) *opening {
	if o.running < openersMax && o.life.Err() == nil {
		o.running++
		o.spawn(o.work)
	}
	return o.put(room)
}

// put puts a room at the end of the queue. The caller holds the lock.
func (o *opener) put(room string) *opening {
	one := &opening{room: room, tried: make(chan struct{})}
	o.rooms[room] = one
	o.queue = append(o.queue, one)
	return one
}

// end says to those who wait how the opening of a room has ended. The caller holds the lock.
func (o *opener) end(room string, err error) {
	if one := o.rooms[room]; one != nil {
		one.err = err
		close(one.tried)
		delete(o.rooms, room)
	}
}

// filled says that the room has what it keeps.
func (o *opener) filled(room string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(room, nil)
}

// await waits until a room that is there is filled, or could not be.
func (o *opener) await(ctx context.Context, room string) error {
	o.mu.Lock()
	one := o.rooms[room]
	if one == nil { // It was filled just now, or was reset since.
		one = o.add(room)
	}
	o.mu.Unlock()
	select {
	case <-one.tried:
		return one.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// work opens one room after the other until there is none. One that cannot be opened lets others go
// first, which perhaps can.
func (o *opener) work() {
	for one := o.next(); one != nil; one = o.next() {
		ctx, cancel := context.WithTimeout(o.life, o.patience())
		err := o.cluster.Open(ctx, one.room)
		cancel()
		if o.ends(one, err) {
			continue
		}
		select {
		case <-time.After(openAgain):
		case <-o.life.Done():
		}
	}
}

// next takes the first opening; nil if there is none, and then the goroutine is counted out.
func (o *opener) next() *opening {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 && o.life.Err() == nil {
		one := o.queue[0]
		if o.queue = o.queue[1:]; o.rooms[one.room] == one {
			return one
		}
	}
	o.queue = nil
	o.running--
	return nil
}

// ends takes the outcome of one try, and reports whether there is to be no pause behind it. A room
// that could not be opened goes to the end of the queue.
func (o *opener) ends(one *opening, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rooms[one.room] != one { // It is filled, or has ended.
		return true
	}
	o.end(one.room, err)
	if err == nil { // It was filled for nobody: it has ended since it was asked for.
		o.cluster.Release(one.room)
		return true
	}
	o.put(one.room)
	return false
}

// hold makes the publishers of a room wait, or no longer, and remembers that for rooms that are
// made later.
func (o *opener) hold(room string, isOn bool) {
	o.holding.Lock()
	defer o.holding.Unlock()
	if delete(o.held, room); isOn {
		o.held[room] = true
	}
	if r, isThere := o.hub.Room(room); isThere {
		r.Hold(isOn)
	}
}

// holdAgain makes the publishers of a room wait that was made since Hold was called.
func (o *opener) holdAgain(room string) {
	o.holding.Lock()
	defer o.holding.Unlock()
	if o.held[room] {
		if r, isThere := o.hub.Room(room); isThere {
			r.Hold(true)
		}
	}
}
