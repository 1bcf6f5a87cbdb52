package admin

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// silentMin is for how long a connection has said nothing when it makes room: whoever connects
	// to ask has asked by then.
	silentMin = 250 * time.Millisecond
	// roomEvery is how often it is looked, while all places are taken, whether one may make room.
	roomEvery = 10 * time.Millisecond
)

// A places is there for so many connections. While all are taken the connection without a request
// that has been so for longest makes room, or has one without a key whose body has yet to come:
// whoever can reach the listener, and has no key, keeps nobody out by connecting and saying
// nothing.
type places struct {
	taken chan struct{} // one in it for each place that is
	clock clock

	mu     sync.Mutex
	silent list.List // of *guest, who has been so for longest in front
}

// A guest is a connection that has a place. Its fields are guarded by the lock of the places.
type guest struct {
	conn   net.Conn
	asked  int           // requests of which it has sent the whole head
	served int           // … and those that were answered
	since  time.Duration // when it was last answered, or came, or gave way
	at     *list.Element // among the silent ones; nil: it is none, or has left
	isGone bool
}

func newPlaces(n int) *places {
	return &places{taken: make(chan struct{}, n), clock: newClock()}
}

// take waits for a place, and reports whether there is one before closed is.
func (p *places) take(closed <-chan struct{}) bool {
	select {
	case p.taken <- struct{}{}:
		return true
	default:
	}
	look := time.NewTicker(roomEvery)
	defer look.Stop()
	for {
		p.makeRoom()
		select {
		case p.taken <- struct{}{}:
			return true
		case <-closed:
			return false
		case <-look.C:
		}
	}
}

// makeRoom closes the connection that has been silent for longest, if that is long enough.
func (p *places) makeRoom() {
	p.mu.Lock()
	first := p.silent.Front()
	if first == nil || p.clock.now()-first.Value.(*guest).since < silentMin {
		p.mu.Unlock()
		return
	}
	g := first.Value.(*guest)
	p.mu.Unlock()
	g.conn.Close() // It leaves by that.
}

// enter puts a guest into the place that was taken for it. Its connection may be closed from then
// on.
func (p *places) enter(g *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fall(g)
}

// fall makes a guest silent. The caller holds the lock.
func (p *places) fall(g *guest) {
	g.since = p.clock.now()
	g.at = p.silent.PushBack(g)
}

// rise makes it one that is not. The caller holds the lock.
func (p *places) rise(g *guest) {
	if g.at != nil {
		p.silent.Remove(g.at)
		g.at = nil
	}
}

// ask hears that the head of a request has come.
func (p *places) ask(g *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g.asked++
	p.rise(g)
}

// serve hears that a request was answered. Another may have come behind it.
func (p *places) serve(g *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.served++; g.served >= g.asked && g.at == nil && !g.isGone {
		p.fall(g)
	}
}

// giveWay says that a request under way has no key, and its guest makes room if need be.
func (p *places) giveWay(g *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.at == nil && !g.isGone {
		p.fall(g)
	}
}

// leave gives the place back, once.
func (p *places) leave(g *guest) {
	p.mu.Lock()
	wasGone := g.isGone
	g.isGone = true
	p.rise(g)
	p.mu.Unlock()
	if !wasGone {
		<-p.taken
	}
}

// changed hears from net/http what becomes of a connection.
func (p *places) changed(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		p.serve(c.(*judged).guest)
	}
}
