package gateway

import (
	"time"

	"sluice/gateway/centrifuge"
	"sluice/reactor"
)

// tell has those told whose moment has passed, for as long as a tick has for it, and says when to
// be called again: at once if it told any. Some of them may have turned out to be gone, and what
// their leaving is to others is for the flush, which was before.
func (w *worker) tell() time.Duration {
	if len(w.tellings) == 0 {
		return -1
	}
	if left := w.tellings[0].at - w.loop.Now(); left > 0 {
		return left
	}
	for until := w.loop.Elapsed() + w.cfg.walkTime; len(w.tellings) > 0 && w.tellings[0].at <= w.loop.Now(); {
		w.tellOf(w.tellings[0].of)
		w.tellings = w.tellings[1:]
		if w.loop.Elapsed() >= until {
			return 0
		}
	}
	if len(w.tellings) == 0 {
		w.tellings = nil
	}
	return 0
}

// tellOf tells everybody who is in a room of what has changed there.
func (w *worker) tellOf(a *attendance) {
	list, all, dropped := a.take()
	w.stats.JoinsDropped += uint64(dropped)
	if len(list) == 0 {
		return
	}
	w.stats.JoinsDropped += uint64(w.server.tellNodes(a.room, list))
	for to, those := range byLoop(all) {
		one := &joins{room: a.room, list: list} // Each loop makes its own frames: there is not much in them.
		if to == w {
			w.tellThose(one, those)
		} else if !to.loop.Post(func(*reactor.Loop) { to.tellThose(one, those) }) {
			w.stats.JoinsDropped += uint64(len(those) * len(list))
		}
	}
}

// byLoop are clients by the loop that each is on.
func byLoop(all []*attendee) map[*worker][]reactor.Token {
	by := map[*worker][]reactor.Token{}
	for _, in := range all {
		by[in.w] = append(by[in.w], in.token)
	}
	return by
}

// tellThose tells those on this loop that are still in the room.
func (w *worker) tellThose(told *joins, those []reactor.Token) {
	for _, t := range those {
		source, _ := w.loop.Source(t)
		c, ok := source.(*conn)
		if !ok || c.life != open {
			continue
		}
		s := c.subscriber()
		if s == nil || s.find(told.room) == nil {
			continue
		}
		n := 0
		if s.own == nil || len(s.own.bytes) <= joinsBytes {
			var frame []byte
			frame, n = told.in(s.format)
			s.sendMessage(frame)
		}
		w.stats.JoinsTold += uint64(n)
		w.stats.JoinsDropped += uint64(len(told.list) - n)
	}
}

// joins are changes as they are told, in each format when it is first needed.
type joins struct {
	room  string
	list  []change
	frame [2][]byte // by centrifuge.Format
	n     [2]int    // how many of them are in it
}

// in is the message that tells of them in a format, and of how many it does.
func (j *joins) in(f centrifuge.Format) (frame []byte, n int) {
	if j.n[f] > 0 {
		return j.frame[f], j.n[f]
	}
	var p []byte
	for _, k := range j.list {
		if len(p) > joinsBytes {
			break
		}
		if k.isJoin {
			p = f.AppendJoin(p, j.room, k.who.info)
		} else {
			p = f.AppendLeave(p, j.room, k.who.info)
		}
		j.n[f]++
	}
	j.frame[f] = p
	return p, j.n[f]
}
