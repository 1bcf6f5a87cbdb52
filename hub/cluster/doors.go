package cluster

import "sync"

// Doors say which rooms are open, to any goroutine, and have what others ask of the node. They are
// guarded by their lock, under which nothing else is taken.
type doors struct {
	mu       sync.RWMutex
	byRoom   map[string]*door
	asked    []string // rooms to open
	released []string
}

// A door is there from the first Open of a room until nobody follows it.
type door struct {
	isOpen bool
	opened chan struct{} // closed when it opens
	asked  int           // how many openings wait for the node to begin
}

// ask has a room opened, and returns what is closed when it is.
func (d *doors) ask(room string, roomsMax int) (<-chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.byRoom[room]
	if r == nil {
		if len(d.byRoom) >= roomsMax {
			return nil, ErrTooManyRooms
		}
		r = &door{opened: make(chan struct{})}
		d.byRoom[room] = r
	}
	if r.isOpen { // Nobody joins before it is filled anew.
		r.isOpen = false
		r.opened = make(chan struct{})
	}
	if r.asked == 0 {
		d.asked = append(d.asked, room)
	}
	r.asked++
	return r.opened, nil
}

// take returns what was asked for since it was called last.
func (d *doors) take() (asked, released []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked, released = d.asked, d.released
	d.asked, d.released = nil, nil
	for _, room := range asked {
		d.byRoom[room].asked = 0
	}
	return asked, released
}

// open lets all in who wait, unless somebody has asked since the room began to be filled.
func (d *doors) open(room string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.byRoom[room]; r != nil && r.asked == 0 && !r.isOpen {
		r.isOpen = true
		close(r.opened)
	}
}

// shut keeps a room from being joined until it opens.
func (d *doors) shut(room string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.byRoom[room]; r != nil && r.isOpen {
		r.isOpen = false
		r.opened = make(chan struct{})
	}
}

// remove forgets a room that is followed no more, unless it is asked for.
func (d *doors) remove(room string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.byRoom[room]; r != nil && r.asked == 0 {
		delete(d.byRoom, room)
	}
}
