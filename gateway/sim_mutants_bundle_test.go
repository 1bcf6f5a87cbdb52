//go:build linux

package gateway

// bundleMutants are those of clients that are in several rooms by one connection, and of the
// Centrifuge protocol.
var bundleMutants = []mutant{
	{"a reader that has more is forgotten behind its share", 300, []edit{{
		"hub/landing.go", "\tdefault:\n\t\tk.push(r)\n\t}\n}\n", "\t}\n}\n",
	}}},
	{"a reader moves by what was offered, not by what was taken", 300, []edit{{
		"hub/landing.go", "taken := min(n, int(r.offer))", "taken := int(r.offer)",
	}}},
	{"a reader that has caught up stays blocked", 300, []edit{{
		"hub/landing.go", "\t\t\tm.unblock()\n\t\t\tr.forgetVote()\n", "\t\t\tr.forgetVote()\n",
	}}},
	{"a connection that has caught up stays blocked", 300, []edit{{
		"hub/bundle_turn.go", "k.visitOverrun() // Those that are held.\n\t\tm.unblock()\n", "k.visitOverrun() // Those that are held.\n",
	}}},
	{"readers behind a refusal keep what they were offered", 300, []edit{{
		"hub/landing.go", "if r.offer = 0; i > 0 {", "if i > 0 {",
	}}},
	{"the rest of a frame is lost when its room is left", 300, []edit{{
		"hub/trunk.go", "hasRest := k.inFrame == r && r.offer == 0", "hasRest := false",
	}}},
	{"the rest of a frame is lost when its room is left in mid-delivery", 2000, []edit{{
		"hub/landing.go", "if k.pop(); c.restOfFrame() > 0 {", "if k.pop(); false {",
	}}},
	{"another room goes on in the middle of a frame", 300, []edit{{
		"hub/gather.go", "\tif k.inFrame != nil {\n\t\tk.toFront(k.inFrame)\n\t}\n", "",
	}}},
	{"a share ends in the middle of a frame", 300, []edit{{
		"hub/gather.go", "n = min(pending, c.covering(max(1, allowance)))", "n = min(pending, max(1, allowance))",
	}}},
	{"a client's own bytes go out in the middle of a room's frame", 300, []edit{
		{"hub/bundle_turn.go", "\tif m.hasOwn && k.inFrame == nil {\n\t\tsent", "\tif m.hasOwn {\n\t\tsent"},
		{"hub/bundle.go", "k.trunk.handed == 0 && k.inFrame == nil }", "k.trunk.handed == 0 }"},
	}},
	{"each room is written by itself", 2000, []edit{{
		"hub/reader.go", "\tk.schedule(!r.m.branch.hasMuch())\n", "\tk.serve(false, now)\n",
	}}},
	{"what was missed comes before the answer to subscribe", 300, []edit{{
		"hub/reader.go", "\t\tk.push(r)\n\t\tk.schedule(false)\n\t}\n\treturn j, nil", "\t\tk.push(r)\n\t\tk.serve(false, now)\n\t}\n\treturn j, nil",
	}}},
	{"the answer to subscribe says where the room stands", 300, []edit{{
		"gateway/subscribe.go", "r.Recovered, r.Offset = true, w.since.Offset", "r.Recovered, r.Offset = true, joined.Offset+joined.Messages",
	}}},
	{"a part of what a subscriber has missed presented as the whole", 1000, []edit{{
		"gateway/subscribe.go", "if w.isRecovering && joined.Answer == hub.Recovered {", "if w.isRecovering {",
	}}},
	{"a room goes on behind the answer to unsubscribe", 300, []edit{{
		"gateway/subscription.go", "\ts.end(sub)\n\tsub.Leave()\n", "\ts.end(sub)\n",
	}}},
	{"a gap is not told", 2000, []edit{{
		"gateway/readers.go", "missed > 0 && sub != nil", "false && sub != nil",
	}}},
	{"the push behind a gap comes before the word of it", 2000, []edit{{
		"gateway/readers.go", "\ts.drop(sub) // Before", "\tdefer s.drop(sub) // Before",
	}}},
	{"a subscriber whose turn to publish has come is not read on", 300, []edit{{
		"gateway/readers.go", "\t\ts.isAwaiting = false\n\t\ts.resumeReading(pauseRoom)\n", "\t\ts.isAwaiting = false\n",
	}}},
	{"a command that has waited is forgotten", 300, []edit{{
		"gateway/command.go", "\t\tif done := s.carryOut(&order{command, answer}); done == stepWaits {\n\t\t\trest = p\n", "\t\tif done := s.carryOut(&order{command, answer}); done == stepWaits {\n\t\t\trest = behind\n",
	}}},
	{"replies of the last command are not sent", 1000, []edit{{
		"gateway/command.go", "\tif lacks > 0 { // Its connection", "\tif false { // Its connection",
	}}},
	{"an offset is that of the message before", 300, []edit{{
		"gateway/push.go", "f.PutOffset(place, p.Offset)", "f.PutOffset(place, p.Offset-1)",
	}}},
	{"one who leaves a room stays among those who are there", 300, []edit{{
		"gateway/subscription.go", "\ts.absentFrom(sub)\n\tdelete(s.terms", "\tdelete(s.terms",
	}}},
	{"one who subscribes is not among those who are there", 300, []edit{{
		"gateway/attend.go", "\t\ts.termed(sub).attendee = s.w.server.presences.enter(room, in)\n", "\t\ts.termed(sub)\n\t\t_ = in\n",
	}}},
	{"one whose place another takes is told of no more", 300, []edit{{
		"gateway/presence.go", "a.all[in.place], a.all[last].place = a.all[last], in.place", "a.all[in.place], a.all[last].place = a.all[0], in.place",
	}}},
	{"a connection that is to end with an answer goes on", 2000, []edit{{
		"hub/bundle_turn.go", "\tcase k.isCut:\n", "\tcase false:\n",
	}}},
}
