//go:build linux

package gateway

import (
	"flag"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sluice/internal/mutation"
	"sluice/internal/testenv"
)

var simMutants = flag.String("sim.mutants", "", "which mutants TestMutantsAreFound makes: a regular expression; without it a few, or all with SLUICE_CI=1")

// A mutant is the product with a bug of a line or two. When the product has moved on and an edit
// does not apply any more, mend it or find a bug that is as bad.
type mutant struct {
	name  string
	seeds int // within which TestSimulation finds it
	edits []edit
}

type edit = mutation.Edit

// firstSeeds are where to begin with mutants that are found late, and by few seeds.
var firstSeeds = map[string]int{
	"round begun behind the last member's leave":              2001,
	"a ring's send that has not ended is taken for a refusal": 3001,
	"replies of the last command are not sent":                3001,
}

// firstSeed is where to begin with a mutant.
func firstSeed(m *mutant) int {
	if slices.ContainsFunc(tokenMutants, func(o mutant) bool { return o.name == m.name }) {
		return tokenSeeds + 1
	}
	return max(1, firstSeeds[m.name])
}

// mutants come with the few first that are made without being asked for.
var mutants = slices.Concat(generalMutants, historyMutants, bundleMutants, homeMutants, tokenMutants)

var generalMutants = []mutant{
	{"requeue forgotten when the read budget ends", 50, []edit{{
		"gateway/incoming.go", "\t\tbudget -= n\n\t}\n\tc.endTurn()\n", "\t\tbudget -= n\n\t}\n",
	}}},
	{"a short read hides that the peer has ended", 300, []edit{{
		"gateway/incoming.go", "!ev.Hangup() && ", "",
	}}},
	{"a short read in a turn behind another is taken for all", 300, []edit{{
		"gateway/incoming.go", "!ev.Again() && ", "",
	}}},
	{"rearm forgotten after a refusal", 50, []edit{{
		"gateway/outbox.go", "c.rearm(reactor.Readable | reactor.Writable)", "c.isArmed = true",
	}}},
	{"a short write of somebody armed is taken for a refusal", 300, []edit{{
		"gateway/outbox.go", "\twasArmed := c.isArmed\n", "\twasArmed := c.isArmed\n\tif wasArmed {\n\t\treturn\n\t}\n",
	}}},
	{"who was put off is not tried again", 50, []edit{{
		"gateway/shortage.go", "w.putOff = append(w.putOff, c.token)", "_ = c.token",
	}}},
	{"a shortage of epoll_ctl is forgotten", 300, []edit{{
		"gateway/outbox.go", "\tcase in&reactor.Writable != 0:\n\t\tc.putOffWrites(err)\n", "",
	}}},
	{"wake lost: the signal is cleared behind the mailbox", 3000, []edit{
		{"reactor/loop.go", "\tl.signal.Store(false) // before", "\t// before"},
		{"reactor/loop.go", "\tl.runHooks()\n\tl.closeSources()\n", "\tl.runHooks()\n\tl.closeSources()\n\tl.signal.Store(false)\n"},
	}},
	{"blocked member forgotten when its write budget ends", 300, []edit{{
		"hub/delivery.go", "\tcase budget <= 0:\n\t\tm.Ready() //", "\tcase budget <= 0:\n\t\t//",
	}}},
	{"cursor moves by what was offered, not by what was taken", 50, []edit{{
		"hub/delivery.go", "m.cursor.advance(n)", "m.cursor.advance(len(d.Bytes))",
	}}},
	{"own frames are written in the middle of the log's", 100, []edit{
		{"hub/trunk.go", " && m.cursor.restOfFrame() == 0\n", "\n"},
		{"hub/delivery.go", "if m.hasOwn && m.cursor.restOfFrame() == 0 {", "if m.hasOwn {"},
	}},
	{"a pong that has begun is replaced by a newer one", 300, []edit{{
		"gateway/outbox.go", "o.pongAt -= n //", "//",
	}}},
	{"blocked member forgotten when the log grew under its write", 1000, []edit{{
		"hub/delivery.go", "\t\t\tm.Ready()\n\t\t}\n\tcase budget", "\t\t}\n\tcase budget",
	}}},
	{"stale token taken for the slot's present owner", 1000, []edit{{
		"reactor/slab.go", "if c.next != occupied || c.generation != t.generation() {", "if c.next != occupied {",
	}}},
	{"closed before it is deregistered", 50, []edit{
		{"reactor/loop.go", "\t\t_ = l.poller.Deregister(int(e.fd))\n", ""},
		{"reactor/loop.go", "\t\t_ = l.kernel.Close(int(e.fd)) //", "\t\t_ = l.kernel.Close(int(e.fd))\n\t\t_ = l.poller.Deregister(int(e.fd)) //"},
	}},
	{"mark never cleared", 50, []edit{{
		"hub/flush.go", "b.marks.Swap(0)", "b.marks.Load()",
	}}},
	{"round vouches only for the end it began with", 1000, []edit{{
		"hub/sweep.go", "if r.sweptTo < b.track.end.Load()", "if r.sweptTo < r.end",
	}}},
	{"rest of an overrun frame is short of a byte", 300, []edit{{
		"hub/pin.go", "left: p.frame[len(p.frame)-n:]", "left: p.frame[len(p.frame)-n+1:]",
	}}},
	{"rest of an overrun frame is in no account", 300, []edit{{
		"hub/pin.go", "\tp.settle(len(r.left) == 0)\n", "",
	}}},
	{"who leaves overrun is owed for ever", 300, []edit{{
		"hub/leave.go", "\tr.account.Ended += n\n\tm.branch.fan.stats.Ended += n\n", "\tif !m.cursor.isOverrun() {\n\t\tr.account.Ended += n\n\t\tm.branch.fan.stats.Ended += n\n\t}\n",
	}}},
	{"brake not lifted by a finished round", 50, []edit{{
		"hub/sweep.go", "\t\tr.noteMoved()\n\t}\n\tr.release(b.fan)\n", "\t\tr.noteMoved()\n\t}\n",
	}}},
	{"resumed sender not read on", 100, []edit{{
		"gateway/pause.go", "\tif why != pauseTurn {\n\t\tc.standInLine()\n\t\treturn\n\t}\n", "",
	}}},
	{"turn not over when nothing is left to read", 50, []edit{{
		"gateway/incoming.go", "\t\tc.reader.EndTurn(false) //", "\t\t//",
	}}},
	{"sender that the brake stops in its turn not resumed", 50, []edit{{
		"hub/line.go", "\t\tif m.lineState == due {\n\t\t\tm.branch", "\t\tif false {\n\t\t\tm.branch",
	}}},
	{"waiting sender timed out", 2000, []edit{{
		"gateway/events.go", "if c.pauses != 0 ||", "if c.isThrottled() ||",
	}}},
	{"input decoded before what waits for the room", 3000, []edit{{
		"gateway/incoming.go", "if c.pausedBefore() || !c.resumeInput() {", "if !failed && (c.pausedBefore() || !c.resumeInput()) {",
	}}},
	{"listener stays deaf when descriptors are free again", 300, []edit{{
		"gateway/listener.go", "case ev.Timeout():", "case false && ev.Timeout():",
	}}},
	{"descriptor leaks when it cannot be watched", 300, []edit{{
		"gateway/arrival.go", "\t\t_ = w.kernel.Close(a.fd)\n", "",
	}}},
	{"round begun behind the last member's leave", 700, []edit{{
		"hub/sweep.go", "if b.len() == 0 { // The last", "if false { // The last",
	}}},
	{"client that was overrun goes on before the rest of its frame", 300, []edit{{
		"hub/delivery.go", "if m.hasOwn && m.cursor.restOfFrame() == 0 {", "if m.hasOwn && m.cursor.restOfFrame() == 0 && !m.cursor.isOverrun() {",
	}, {
		"hub/delivery.go", "\t\tif m.hasOwn {\n\t\t\tm.Ready()", "\t\tif false {\n\t\t\tm.Ready()",
	}, {
		"hub/delivery.go", "\t\tif m.hasOwn {\n\t\t\tpending", "\t\tif false {\n\t\t\tpending",
	}}},
	{"ready members not served", 50, []edit{{
		"hub/sweep.go", "\tb.serveReady(p, isForLittle)\n\treturn done && (b.ready.len() == 0 || b.isBusy)\n", "\treturn done\n",
	}}},
	{"dead connection keeps its place in the room", 50, []edit{{
		"gateway/closing.go", "\tc.setLife(dead)\n\tc.leaveRooms()\n", "\tc.setLife(dead)\n",
	}}},
	{"rate never refilled", 300, []edit{{
		"gateway/rates.go", "m.frames.take(frames, int64(cfg.FrameRate), now)", "m.frames.take(frames, int64(cfg.FrameRate), 0)",
	}}},
	{"rate with a burst of two seconds", 100, []edit{{
		"gateway/bucket.go", "return time.Duration(*b) - now - time.Second", "return time.Duration(*b) - now - 2*time.Second",
	}}},
	{"throttled sender not read on when its rate allows it", 300, []edit{{
		"gateway/rates.go", "\tc.pauseReading(pauseRate)\n\tc.setTimer()\n", "\tc.pauseReading(pauseRate)\n",
	}}},
	{"unfinished input not given back", 50, []edit{{
		"gateway/input_budget.go", "\tb.held += n\n", "\tb.held += max(0, n)\n",
	}}},
	{"closed for unfinished input is who is least to blame", 1000, []edit{{
		"gateway/input_budget.go", "blame > most {", "blame < most {",
	}}},
	{"a loop's least share has no room for what was read", 1000, []edit{{
		"gateway/config.go", " + int64(c.readMax())\n", "\n",
	}}},
	{"cut for a dropped frame is not who has been in one for longest", 1000, []edit{{
		"hub/fit.go", "f.pins.all.Front()", "f.pins.all.Back()",
	}}},
	{"cut for a dropped frame before those are too many", 1000, []edit{{
		"hub/fit.go", "pinned > k.limit.Load()/2", "pinned > k.limit.Load()/8",
	}}},
	{"who is being closed counted in the brake", 1000, []edit{{
		"hub/member.go", "return !m.IsCatchingUp() && m.owedTo == withoutEnd", "return !m.IsCatchingUp()",
	}}},
	{"an answer is heard for whoever left meanwhile", 300, []edit{{
		"hub/delivery.go", "m.handed == d.handed {", "true {",
	}}},
	{"a round does not wait for its answers", 3000, []edit{{
		"hub/sweep.go", "return r.open > 0 || b.endRound()", "return b.endRound()",
	}}},
	{"a room's newest segments are not counted", 50, []edit{{
		"hub/room.go", "\tmemory, dropped := r.log.memory()\n\treturn r.budget",
		"\tmemory, dropped := r.log.memory()\n\tfor _, t := range r.log.tracks {\n\t\tif t != nil && t.isOpen() {\n\t\t\tmemory -= t.tail.size\n\t\t}\n\t}\n\tmemory = max(memory, dropped)\n\treturn r.budget",
	}}},
	{"nobody is told that a room gave something up", 1000, []edit{{
		"hub/fit.go", "b.schedule(by, becauseSegment) // A member that", "_ = b // A member that",
	}}},
	{"own bytes counted: a sender that keeps up with itself is a reason to go on", 300, []edit{{
		"hub/count.go", "\tcase !m.hearsItself():\n", "\tdefault:\n",
	}}},
	{"kernel not asked what a client has taken", 300, []edit{{
		"gateway/outgoing.go", "queued, err := c.w.kernel.Queued(int(c.fd))", "queued, err := 0, error(nil)",
	}}},
	{"a ring's results go to the wrong clients", 100, []edit{{
		"reactor/ring.go", "finish(&batch[is.Index], is.Result)", "finish(&batch[(is.Index+1)%uint64(begun)], is.Result)",
	}}},
	{"what a ring has not begun is not written", 100, []edit{{
		"reactor/ring.go", "\tSendBatch(r.kernel, batch[begun:])\n", "\tfor i := range batch[begun:] {\n\t\tbatch[begun+i].N, batch[begun+i].Err = len(batch[begun+i].Bytes), nil\n\t}\n",
	}}},
	{"a ring's send that has not ended is taken for a refusal", 1000, []edit{{
		"gateway/outbox.go", "case errors.Is(err, syscall.EAGAIN):", "case errors.Is(err, syscall.EAGAIN), errors.Is(err, reactor.ErrUnfinished):",
	}}},
	{"dropped frame kept behind its last client", 300, []edit{{
		"hub/pin.go", "\tif p.holders.Len() == 0 {", "\tif false {",
	}}},
}

// maker builds the simulation with a mutant in place of the product. The files are those that the
// simulation is made of.
var maker = mutation.Maker{
	Root:  "..",
	Tests: regexp.MustCompile(`^(sim|sim_(attendance|bounds|brake|builder|config|ear|history|inspect|limits|oracle|question|reader|ring|socket|story|stream|subscriber|subscription|tally|token|transport|world)|config)_test\.go$`),
	Found: regexp.MustCompile(`seed \d+ \(.*`),
	Args:  []string{"-test.run", "TestSimulation$"},
}

// turns are had by as many mutants at a time as there are processors: building keeps all of them
// busy, and takes memory.
var turns = make(chan struct{}, runtime.NumCPU())

// TestMutantsAreFound shows that TestSimulation can fail: it finds every mutant within its number
// of seeds.
func TestMutantsAreFound(t *testing.T) {
	t.Parallel()
	if testenv.RaceEnabled {
		t.Skip("the mutants are the same without the race detector, and found sooner")
	}
	for _, m := range mutants {
		maker.MustApply(t, m.name, m.edits)
	}
	for _, i := range maker.Choose(t, "sim.mutants", *simMutants, len(mutants), func(i int) string { return mutants[i].name }) {
		m := &mutants[i]
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			maker.MustBeFound(t, m.name, m.edits, "-sim.seeds", fmt.Sprint(m.seeds), "-sim.from", fmt.Sprint(firstSeed(m)))
		})
	}
}
