//go:build linux

package gateway

// A simPlace is a client's place in a room.
type simPlace struct{ room, client string }

// inspectAttendances holds who is in rooms, as they tell those who ask, to the connections of a
// loop that has ended a tick: each is told of once in each room that it is in, and nobody else is.
func (w *world) inspectAttendances(l *simLoop) {
	if !w.Plan.KeepsAttendance {
		return
	}
	missing := map[simPlace]int{}
	for _, v := range l.views {
		id := v.c.clientID()
		if s := v.c.subscriber(); s != nil {
			for _, sub := range s.subscriptions {
				missing[simPlace{sub.Room().Name(), id}]++
			}
		} else if v.c.reader.IsIn() {
			missing[simPlace{v.c.reader.Room().Name(), id}]++
		}
	}
	w.attended += len(missing)
	for room, at := range w.server.presences.rooms {
		for _, in := range at.all {
			if in.w == l.w {
				missing[simPlace{room, in.info.ClientInfo().Client}]--
			}
		}
	}
	for place, n := range missing {
		if n != 0 {
			w.Fail("client %s is in room %s, and told of %d times too few", place.client, place.room, n)
		}
	}
}
