package gateway

import "time"

// That the first turn of a client will take long nobody can foresee, see isCostly. A thousand of
// them would have a thousand such turns in a few ticks, and everybody else would wait for all. So
// once turns have taken longTime of a tick, those behind them are brief: what may take long waits
// for a turn in line, for which a tick has little time, and what is short goes on as ever.
//
//	in a brief turn                              waits
//	briefRead bytes are read                     the others
//	a message is inflated as far as briefSlice   what is more of it
//	                                             what is assembled, and longer than briefRead
//	briefCommands of a subscriber are obeyed     the others, a frame's beyond briefRead, history
//	                                             who comes with a token, which has to be judged
//	                                             who is in more than briefRooms, and may leave them
const (
	longTime      = 2 * time.Millisecond
	briefRead     = 1 << 10 // bytes
	briefSlice    = 512     // in what Decoder.Inflated counts
	briefCommands = 4
	briefRooms    = 32
)

// beginTurn begins a connection's turn of reading. That of one which has stood in line is not
// brief.
func (w *worker) beginTurn(hasStood bool) {
	w.inflated, w.frames, w.judged, w.told, w.taken = 0, 0, 0, 0, 0
	w.isBrief = !hasStood && w.spent >= longTime
}

// slice is how much of inflating the present turn does.
func (w *worker) slice() int {
	if w.isBrief {
		return min(briefSlice, w.cfg.readBudget)
	}
	return w.cfg.readBudget
}

// isInMany reports whether the connection is in so many rooms that leaving them takes long.
func (c *conn) isInMany() bool {
	s := c.subscriber()
	return s != nil && len(s.subscriptions) > briefRooms
}
