package gateway

import (
	"time"

	"sluice/reactor"
)

// pauseReading is the one place where a pause begins.
func (c *conn) pauseReading(why pause) {
	c.w.held.begin(why&^c.pauses, c.w.loop.Now())
	c.pauses |= why
	c.stopClock()
}

// stopClock lets the clock of an unfinished message stand still: it is not its sender who holds it
// up.
func (c *conn) stopClock() {
	if c.in != nil && c.in.stopped == 0 {
		c.in.stopped = c.w.loop.Now()
	}
}

// resumeReading is the one place where a pause ends before its connection does. Unless it was a
// turn's, the connection is read on in its next turn. Clocks go on with the end of the last pause.
func (c *conn) resumeReading(why pause) {
	c.w.held.end(why&c.pauses, c.w.loop.Now())
	c.pauses &^= why
	c.heard = c.w.loop.Now() // We did not listen meanwhile.
	if why != pauseTurn {
		c.standInLine()
		return
	}
	if c.pauses == 0 {
		c.startClock()
	}
}

// dropPauses forgets the pauses of a connection that has died: nothing of it is read on.
func (c *conn) dropPauses() {
	c.w.held.end(c.pauses, c.w.loop.Now())
	c.pauses = 0
}

// startClock lets the clock of an unfinished message go on.
func (c *conn) startClock() {
	in := c.in
	if in == nil || in.stopped == 0 {
		return
	}
	stood := c.w.loop.Now() - in.stopped
	in.stopped = 0
	c.w.inputBudget.excuse(&in.portion, stood)
	if in.began != 0 {
		in.began += stood
		c.setTimer() // The one that stands may be later.
	}
}

// endTurn ends a turn whose budget was spent. The connection goes behind the publishers that wait
// for its room, or, if none does, in line for its next turn.
func (c *conn) endTurn() {
	if c.life == open && c.past != subscribes && !c.isInflating() && c.reader.EndTurn(true) {
		c.pauseForRoom()
		return
	}
	c.standInLine()
}

// standInLine makes the connection read on in another turn, without an event.
func (c *conn) standInLine() {
	c.pauseReading(pauseTurn)
	if c.isCostly() {
		c.w.loop.RequeueCostly(c.token, reactor.Readable)
	} else {
		c.w.loop.Requeue(c.token, reactor.Readable)
	}
}

// pauseForRoom waits for Resume.
func (c *conn) pauseForRoom() {
	c.pauseReading(pauseRoom)
	c.w.stats.Paused++
}

// noteCost notes what a turn of the connection took in which there was much to do.
func (c *conn) noteCost(took time.Duration) {
	if c.meter != nil || took >= c.w.cfg.costlyTurn {
		c.metered().spend(took, c.w.loop.Now())
	}
}

// isCostly reports whether the client's turns took so long that it has to stand in line for the
// next one, even if it has sent something just now. All who do have a quarter of a millisecond of
// each tick together: a hundred of them wait for each other, and nobody waits for a hundred of
// them. A short turn in between changes nothing.
func (c *conn) isCostly() bool {
	return c.meter != nil && c.meter.spentBy(c.w.loop.Now()) >= c.w.cfg.costlyTurn
}

// isInflating reports whether a message is whole and inflated in slices.
func (c *conn) isInflating() bool { return c.in != nil && c.in.decoder.Inflating() }
