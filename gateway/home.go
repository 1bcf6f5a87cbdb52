package gateway

import (
	"bytes"
	"errors"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

// A small room is at home on one loop, see hub.ElsewhereError: a client that was accepted on
// another moves there when its request is known to be good, before it is answered.
//
//	accepting loop                                     home
//	head, checks, Join ──elsewhere──▶ Detach ──Post──▶ Register ──▶ the same head in its
//	                                                   own turn: Join, 101
//
// The descriptor belongs to one loop, the mailbox or the other loop, as one between net/http and a
// loop does. Along with it go the bytes that were read, who its client is, and what is left of the
// time for its handshake. Nothing moves that has answered anything that is still to be written, and
// nobody who is in a room: a member stays where it joined. Subscribers, who are in many rooms, stay
// as well.

// movesMax is how often one connection moves at most: rooms may end, and begin elsewhere,
// meanwhile.
const movesMax = 3

// A move is a connection on its way to another loop.
type move struct {
	arrival
	read     []byte        // of it, from the request on
	question *question     // with what is known of who makes the request
	past     past          // what it has behind it
	left     time.Duration // of the time for its handshake
}

// moveTo is the question by which a connection moves to another loop. who makes its request is
// known, and answer, if it is not nil, what came of questions before.
func moveTo(home *worker, who *Principal, answer *verdict) *question {
	q := &question{home: home}
	if answer != nil {
		q.answer = *answer
	}
	q.answer.who = *who
	q.answer.moves++
	return q
}

// mayMove reports whether the connection may go to another loop. answer is nil, or what came of
// questions about its request.
func (c *conn) mayMove(answer *verdict) bool {
	if len(c.w.server.workers) == 1 || answer != nil && answer.moves >= movesMax {
		return false
	}
	if c.own != nil || c.isArmed || c.pauses != 0 || c.lacksReads() || c.lacksWrites() {
		return false
	}
	t := c.secured()
	return c.other == nil || t != nil && t.phase == sealed && len(t.out) == 0
}

// move sends the connection to the loop that q names, where its head is judged once more. p is all
// that was read of it, from the request on. Where it cannot go it stays. It returns that the
// connection is not to be read on.
func (c *conn) move(q *question, p []byte) bool {
	w, left := c.w, c.w.loop.TimeLeft(c.token)
	fd, err := w.loop.Detach(c.token)
	if err != nil {
		q.answer.moves = movesMax
		return c.readLater(p, q)
	}
	m := &move{
		arrival: arrival{fd: fd, key: c.key(), from: c.named(), secured: c.secured()},
		read:    bytes.Clone(p), question: q, past: c.past, left: left,
	}
	w.server.stay(m.key) // letGo counts it out; it is still here.
	c.other = nil        // Or letGo would end it.
	c.letGo()
	c.fd = -1
	w.send(m, q.home)
	return false
}

// send gives a connection to another loop, or keeps it if that one's mailbox is full: it is
// overloaded.
func (w *worker) send(m *move, to *worker) {
	to.conns.Add(1)
	if to.loop.Post(func(*reactor.Loop) { to.receive(m) }) {
		w.stats.Moved++
		return
	}
	to.conns.Add(-1)
	w.conns.Add(1)
	m.question.answer.moves = movesMax
	w.receive(m)
}

// receive makes a conn of a connection that comes from another loop. That is no event of its own,
// so its head is judged in its next turn: a fault in that is this connection's.
func (w *worker) receive(m *move) {
	c := w.newConn(m.arrival)
	if c == nil {
		w.stats.Closed[ClosedShortage]++ // It was counted as accepted where it comes from.
		return
	}
	c.past = m.past
	w.loop.SetTimer(c.token, max(1, m.left))
	c.readLater(m.read, m.question)
}

// homeBy is the loop that an error of joining a room sends a client to, nil if it does not.
func (w *worker) homeBy(err error) *worker {
	if err == nil {
		return nil // Most do, and nothing is allocated for them.
	}
	elsewhere := new(hub.ElsewhereError)
	if !errors.As(err, &elsewhere) {
		return nil
	}
	for _, other := range w.server.workers {
		if other.fan == elsewhere.Home {
			return other
		}
	}
	return nil
}

// placeFor is the loop on which a room that nobody is in is to begin, nil if that is this one. It
// is another only if this one has more connections than that, by a few and one in thirty-two:
// clients come to all loops alike, but the first of each room may come to one.
func (w *worker) placeFor(room string) *worker {
	if w.cfg.homeMax < 0 {
		return nil
	}
	to := w.server.emptiest(w.no)
	fewest := to.conns.Load()
	if w.conns.Load() <= fewest+2+fewest/32 || !w.server.hub.IsNew(room) {
		return nil
	}
	return to
}

// emptiest is the loop with the fewest connections, of several the first from the given one on.
func (s *Server) emptiest(from int) *worker {
	least := s.workers[from]
	for i := range s.workers {
		if w := s.workers[(from+i)%len(s.workers)]; w.conns.Load() < least.conns.Load() {
			least = w
		}
	}
	return least
}
