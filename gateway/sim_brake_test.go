//go:build linux

package gateway

import (
	"time"

	"sluice/hub"
)

// A fullLook is when a room was first seen full for nobody, and the number of its next message.
type fullLook struct {
	at   time.Duration
	next uint64
}

// brakeSlack is for how long a room may stay full for those who have caught up since: rounds look
// at the blocked now and then.
const brakeSlack = 100 * time.Millisecond

// inspectBrakes looks, while every loop sleeps, whether a room that is full is so for somebody: for
// one that has come to its end once, is behind again and is not being closed. Of those who may miss
// messages it does not show.
func (w *world) inspectBrakes() {
	if w.Plan.IsLossy() {
		return
	}
	behind := map[*hub.Room]bool{}
	for _, l := range w.loops {
		for _, v := range l.views {
			v.c.eachReader(l.w.loop.Now(), func(r *hub.Room, isBehind bool) { behind[r] = behind[r] || isBehind })
		}
	}
	for r, isBehind := range behind {
		seen, wasFull := w.fullFor[r]
		next := r.Stats().Next
		switch {
		case !r.IsFull() || isBehind:
			delete(w.fullFor, r)
		case !wasFull, seen.next != next: // It was not full in between.
			w.fullFor[r] = fullLook{w.Kernel.Now(), next}
		case w.Kernel.Now()-seen.at > brakeSlack+w.longest:
			w.Fail("room %s is full for nobody, or for those who are catching up or are being closed", r.Name())
		}
	}
}
