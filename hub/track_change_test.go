package hub

import (
	"fmt"
	"testing"
)

// What a room notes of its log follows each change of a track: one that opens or closes, whoever is
// the last to leave, and on whichever loop.
func TestN78_WhatARoomHoldsFollowsItsTracks(t *testing.T) {
	expect := func(t *testing.T, r *Room, when string, tracks int) {
		t.Helper()
		n := 1
		if several := r.several.Load(); several != nil {
			n = len(*several)
		}
		if n != tracks || r.uses.Load() != uint32(r.log.inUse) {
			t.Errorf("%s: %d tracks are noted, and %b as those in use, which are %b", when, n, r.uses.Load(), r.log.inUse)
		}
		held := int64(0)
		for _, track := range r.log.tracks {
			if track != nil && track.isOpen() {
				held += track.held()
			}
		}
		if held != r.log.held {
			t.Errorf("%s: %d bytes are noted, the tracks hold %d", when, r.log.held, held)
		}
	}
	for _, leaves := range []Encoding{Plain, Deflated} {
		for loop := range 2 {
			t.Run(fmt.Sprint(testEncodings[leaves].Name, loop), func(t *testing.T) {
				f := newFixture(t, limits(1<<20, 64<<10))
				stays := f.joinTrack(0, "r", 1-leaves)
				slow := f.joinTrack(0, "r", 1-leaves)
				goes := f.joinTrack(loop, "r", leaves)
				expect(t, stays.Room(), "both tracks opened", 2)
				slow.room = 0
				msg := &Message{Plain: Frame{Payload: make([]byte, 1000)}}
				for range 350 {
					stays.Publish(f.now, msg)
					f.flush()
				}
				r := stays.Room()
				expect(t, r, "with two tracks", 2)
				if !slow.isBeyond() { // 350 KB of 1 MiB, twice.
					t.Error("it is not beyond half of the backlog")
				}
				goes.Leave()
				expect(t, r, "with one track", 1)
				if slow.isBeyond() {
					t.Error("it is beyond half of the backlog, it seems")
				}
				if f.flush(); r.branches[0].reported.lateMembers != 1 {
					t.Error("the slow one is not late, though beyond the window")
				}
				f.joinTrack(loop, "r", leaves)
				expect(t, r, "opened again", 2)
				stays.Publish(f.now, msg)
				expect(t, r, "and used", 2)
				if slow.isBeyond() {
					t.Error("it is beyond half of the backlog because a track was opened")
				}
			})
		}
	}
}
