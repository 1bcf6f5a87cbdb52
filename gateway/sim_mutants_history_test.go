//go:build linux

package gateway

// historyMutants are those of rooms that keep messages, and of readers of events.
var historyMutants = []mutant{
	{"a history's position off by one at join", 300, []edit{{
		"hub/kept.go", "return !r.mark().covers(at.Offset) }", "return !r.mark().covers(at.Offset + 1) }",
	}}},
	{"who is told where it begins gets the message before, too", 300, []edit{{
		"hub/kept.go", "j.Position = Position{l.history.epoch, l.before(from).offset}", "j.Position = Position{l.history.epoch, l.before(min(from+1, l.next)).offset}",
	}}},
	{"a part of what was missed presented as the whole", 300, []edit{{
		"hub/kept.go", "\tcase !l.before(first).covers(at.Offset):\n", "\tcase false:\n",
	}}},
	{"the last so many messages are one more", 300, []edit{{
		"hub/kept.go", "min(l.next-first, uint64(start.Last))", "min(l.next-first, uint64(start.Last)+1)",
	}}},
	{"who catches up is forgotten", 300, []edit{{
		"hub/join.go", "\t\tb.ready.push(m)\n", "",
	}}},
	{"who leaves catching up is counted for ever", 300, []edit{{
		"hub/leave.go", "\tr.settle(m)\n\tm.endCatchUp()\n", "\tr.settle(m)\n",
	}}},
	{"catching up counted in the brake", 2000, []edit{{
		"hub/member.go", "return !m.IsCatchingUp() && m.owedTo", "return m.owedTo",
	}}},
	{"a late build lacks the message before it began", 300, []edit{{
		"hub/build.go", "first: t.tail, from: r.log.next}", "first: t.tail, from: r.log.next - 1}",
	}}},
	{"positions not written into what is encoded late", 300, []edit{{
		"hub/build.go", "\tb.room.hub.encodings[e].put(f.Head, f.PositionAt, Position{b.epoch, kept.Offset})\n", "",
	}}},
	{"a track that is being built is read", 300, []edit{{
		"hub/build.go", "\t\treturn t.building\n", "\t\treturn false\n",
	}}},
	{"a build takes memory for ever", 300, []edit{{
		"hub/build.go", "\tb.room.budget().pin(-b.memory)\n", "",
	}}},
	{"who waits for a build is not told of its end", 300, []edit{{
		"gateway/desk.go", "\t\tc.resumeReading(pauseParked)\n", "\t\t_ = c\n",
	}}},
	{"the message before the oldest segment forgotten", 300, []edit{{
		"hub/log.go", "h.lost = s.record(frames - 1).mark()", "h.lost = s.record(s.skipped).mark()",
	}}},
	{"a search ends before the last entry of a segment", 300, []edit{{
		"hub/kept.go", "n := sort.Search(int(frames-begin), func", "n := sort.Search(max(0, int(frames-begin)-1), func",
	}}},
	{"more is kept to be read than --history says", 300, []edit{{
		"hub/log.go", "n > 0 && l.next-from > n {", "n > 0 && l.next-from > n+1 {",
	}}},
	{"a history lets go of what it is to keep", 1000, []edit{{
		"hub/log.go", "if l.history != nil && oldest.next.Load().first > l.needFrom() {", "if false {",
	}}},
	{"messages of a history expire in half of their time", 2000, []edit{{
		"hub/kept.go", "now-r.at() < age }", "now-r.at() < age/2 }",
	}}},
	{"the last message of a history outlives its removal", 1000, []edit{{
		"hub/expire.go", "r.log.history.floor = r.log.next\n", "r.log.history.floor = max(r.log.history.floor, r.log.next-1)\n",
	}}},
	{"a room that was made anew has its old epoch", 1000, []edit{{
		"hub/room.go", "epoch: h.newEpoch(),", "epoch: name,",
	}}},
	{"histories take more than all together may", 300, []edit{{
		"hub/fit.go", "[...]*backlog{&h.backlog, &h.histories}", "[...]*backlog{&h.backlog}",
	}}},
	{"a reset at a stream's beginning is not said", 300, []edit{{
		"gateway/sse_start.go", "\t\treason = resetReasons[joined.Answer]\n", "",
	}}},
	{"a reset in a stream's midst is not said", 300, []edit{{
		"gateway/sse_start.go", "if c.past == listens && missed > 0 {", "if false {",
	}}},
	{"a reset says too little was missed", 300, []edit{{
		"hub/overrun.go", "m.client.Rejoined(missed, at)", "m.client.Rejoined((missed+1)/2, at)",
	}}},
	{"a reset says another position than where it goes on", 300, []edit{{
		"hub/overrun.go", "r.log.before(to.seq()).offset}", "r.log.before(min(to.seq()+1, r.log.next)).offset}",
	}}},
}
