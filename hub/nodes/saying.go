package nodes

import (
	"time"

	"sluice/hub"
)

// say sends what is new since it was said last, or everything if somebody has asked for it or it is
// time.
func (n *Nodes) say(now time.Duration) {
	rooms, info := n.look()
	all := n.wantsAll && now-n.allAt >= resendEvery || now-n.allAt >= allEvery || n.number == 0
	told := about{
		Name: info.Name, Version: info.Version, Address: info.Address, Connections: info.Connections, Rooms: info.Rooms, Members: info.Members,
		UptimeMS: info.Uptime.Milliseconds(),
	}
	var ok bool
	switch changed := n.changed(rooms); {
	case all:
		ok = n.report(&told, parts(rooms), true)
	case len(changed) > 0 || now-n.saidAt >= sayEvery:
		ok = n.report(&told, parts(changed), false)
	default:
		return
	}
	n.saidAt = now
	if n.wantsAll = !ok || n.wantsAll && !all; all {
		n.allAt = now
	}
	n.sent = rooms
}

// look asks the gateway how its rooms stand.
func (n *Nodes) look() (rooms map[string]hub.Tally, info hub.NodeInfo) {
	rooms = make(map[string]hub.Tally, len(n.sent))
	beyond := uint64(0)
	info = n.local.Report(func(room string, t hub.Tally) bool {
		switch {
		case t.Members == 0:
		case len(rooms) >= reportedMax:
			beyond++
		default:
			rooms[room] = t
		}
		return true
	})
	info.ID, info.Name, info.Version, info.Uptime = n.id, n.o.Name, n.o.Version, n.o.Elapsed()-n.born
	n.counts.beyond.Add(beyond)
	n.mu.Lock()
	n.self = info
	n.mu.Unlock()
	return rooms, info
}

// changed are the rooms that stand otherwise than the others know; a room that has no members any
// more is among them with none.
func (n *Nodes) changed(rooms map[string]hub.Tally) map[string]hub.Tally {
	changed := map[string]hub.Tally{}
	for room, t := range rooms {
		if was, ok := n.sent[room]; !ok || !was.Equal(t) {
			changed[room] = t
		}
	}
	for room := range n.sent {
		if _, ok := rooms[room]; !ok {
			changed[room] = hub.Tally{}
		}
	}
	return changed
}

// report sends the parts of a report, and reports whether all were sent.
func (n *Nodes) report(told *about, parts []map[string]tally, isAll bool) bool {
	for i, part := range parts {
		n.number++
		r := &report{Number: n.number, About: told, Rooms: part}
		if isAll {
			r.Part, r.IsLast = i+1, i == len(parts)-1
		}
		if !n.send(everyone, &note{Report: r}) {
			return false // The others find its number missing when they hear of this node again.
		}
		n.counts.reports.Add(1)
	}
	return true
}

// takeReport takes in what another node reports.
func (n *Nodes) takeReport(from string, r *report) {
	now := n.o.Elapsed()
	n.mu.Lock()
	p, isNew := n.peers[from], false
	if p == nil {
		if p, isNew = n.meet(from, r.About, now); p == nil {
			n.mu.Unlock()
			return
		}
	}
	n.note(p, r, now)
	wants := p.wantsAll(now)
	info := p.info
	n.mu.Unlock()
	if isNew {
		n.counts.came.Add(1)
		n.o.Log.Info("a node is there", "node", info.Name, "id", from, "version", info.Version, "address", info.Address)
		if n.isNamedTwice(info) {
			n.o.Log.Warn("two nodes have the same name: --cluster-node is to be another on each", "node", info.Name)
		}
		n.wantsAll = true // It has heard nothing of this one.
	}
	if wants {
		n.send(toOne+from, &note{Resend: true})
	}
}

// meet takes up a node that was not known. The caller holds mu.
func (n *Nodes) meet(id string, told *about, now time.Duration) (p *peer, ok bool) {
	if told == nil || len(n.peers) >= nodesMax {
		n.counts.refused.Add(1)
		return nil, false
	}
	p = &peer{rooms: map[string]hub.Tally{}, askedAt: now - resendEvery}
	p.info.ID = id
	n.peers[id] = p
	return p, true
}

func (n *Nodes) isNamedTwice(info hub.NodeInfo) bool {
	for _, other := range n.List() {
		if other.Name == info.Name && other.ID != info.ID {
			return true
		}
	}
	return false
}

// note takes in one part. The caller holds mu.
func (n *Nodes) note(p *peer, r *report, now time.Duration) {
	if p.heard = now; r.Number <= p.number {
		return // It was heard before.
	}
	if r.Number != p.number+1 {
		if p.number > 0 {
			n.counts.lost.Add(1)
		}
		p.isWhole = false
		n.drop(&p.next)
	}
	p.number = r.Number
	if a := r.About; a != nil {
		p.info = hub.NodeInfo{
			ID: p.info.ID, Name: a.Name, Version: a.Version, Address: a.Address, Connections: a.Connections, Rooms: a.Rooms, Members: a.Members,
			Uptime: time.Duration(a.UptimeMS) * time.Millisecond,
		}
	}
	if r.Part == 0 {
		n.fill(p.rooms, r.Rooms)
		return
	}
	if r.Part == 1 {
		n.drop(&p.next)
		p.next, p.part = map[string]hub.Tally{}, 0
	}
	if p.next == nil || r.Part != p.part+1 {
		n.drop(&p.next)
		return
	}
	n.fill(p.next, r.Rooms)
	if p.part = r.Part; r.IsLast {
		n.drop(&p.rooms)
		p.rooms, p.next, p.isWhole = p.next, nil, true
	}
}

// drop lets go of rooms. The caller holds mu.
func (n *Nodes) drop(rooms *map[string]hub.Tally) {
	n.known -= len(*rooms)
	*rooms = nil
}

// fill takes in rooms, as long as there is place for them. The caller holds mu.
func (n *Nodes) fill(rooms map[string]hub.Tally, told map[string]tally) {
	before := len(rooms)
	for room, t := range told {
		_, isThere := rooms[room]
		switch {
		case t.Members == 0:
			delete(rooms, room)
		case isThere || n.known+len(rooms)-before < knownMax:
			rooms[room] = hub.Tally(t)
		default:
			n.counts.beyond.Add(1)
		}
	}
	n.known += len(rooms) - before
}

// wantsAll reports whether a node is to be asked for all of its rooms, and then notes that it was.
func (p *peer) wantsAll(now time.Duration) bool {
	if p.isWhole || p.next != nil || now-p.askedAt < resendEvery {
		return false
	}
	p.askedAt = now
	return true
}
