package cluster

import (
	"flag"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/mutation"
	"sluice/internal/testenv"
)

var mutantsFlag = flag.String("cluster.mutants", "", "which mutants TestMutantsAreFound makes: a regular expression; without it a few, or all with SLUICE_CI=1")

// A mutant is the product with a bug of a line or two. When the product has moved on and an edit
// does not apply any more, mend it or find a bug that is as bad.
type mutant struct {
	name  string
	seeds int // within which the model finds it
	edits []edit
}

type edit = mutation.Edit

var mutants = []mutant{
	{"retry with a new id", 100, []edit{{
		"unsure.go", "\t\t\tn.counters.repeated.Add(1)\n", "\t\t\tk.id += \"+\"\n",
	}}},
	{"no tail check", 100, []edit{{
		"check.go", "\tif r.state != live {\n\t\treturn false\n", "\tif true {\n\t\treturn false\n",
	}}},
	{"the stream's creation time as epoch", 300, []edit{{
		"audit.go", "\tisSame := !was.isDenied && a.revision >= was.revision\n\tif isSame {\n\t\tisSame, a.err = a.isSame(q, state)\n\t}\n", "\tisSame := true // Lost or copied back, it was made when it was made.\n",
	}}},
	{"more than one in flight: the next pack does not wait for one that failed", 100, []edit{{
		"sending.go", "\t\tk.pause = min(max(2*k.pause, pauseMin), pauseMax)\n", `
		n.publisher.mu.Lock()
		l.inFlight, l.waiting = nil, append(l.waiting, k)
		l.messages, l.bytes = l.messages+k.messages, l.bytes+len(k.body)
		n.publisher.ready = append(n.publisher.ready, l)
		n.publisher.waiting, n.publisher.inFlight = n.publisher.waiting+1, n.publisher.inFlight-1
		n.publisher.mu.Unlock()
		return
`,
	}}},
	{"fetch before subscribe", 1, []edit{{
		"opening.go", "\tif a.err = q.subscribe(name); a.err != nil {\n\t\treturn\n\t}\n", "\tdefer func() { a.err = errors.Join(a.err, q.subscribe(name)) }()\n",
	}}},
	{"a pack that is looked for is taken for whatever is there", 100, []edit{{
		"unsure.go", "case s != nil && s.ID == k.id:", "case s != nil:",
	}}},
	{"a pack of which nobody knows is sent for ever", 1000, []edit{{
		"sending.go", "giveUpTime = 90 * time.Second", "giveUpTime = time.Hour",
	}}},
	{"an older epoch that came back with the stream is taken for a newer one", 3000, []edit{{
		"audit.go", "if a.revision >= was.revision && !a.isFirst &&", "if !a.isFirst &&",
	}}},
	{"what a node has seen itself counts for nothing", 1000, []edit{
		{"audit.go", "max(a.epoch.Seq, a.was.reached) > state.Last", "a.epoch.Seq > state.Last"},
		{"audit.go", "(!isThere || s.ID == a.was.seenID), err", "true, err"},
		{"trust.go", "\tt.isDenied = true\n", ""},
	}},
	{"a node goes by what it remembers alone", 1000, []edit{{
		"audit.go", "if !n.isTrusted && n.epoch != \"\" && n.isAwaiting(now) {", "if false {",
	}}},
	{"a node that is started waits for nobody", 1000, []edit{{
		"claim.go", "return n.isStranger || n.wasAway && len(n.known) == 0", "return false",
	}}},
	{"what another node said before the store was another one is an answer", 1, []edit{{
		"claim.go", "if slices.Contains(c.Answers, n.question) {", "if slices.Contains(c.Answers, n.question) || true {",
	}}},
	{"what others have seen counts for nothing", 1000, []edit{{
		"claim.go", "if o.claim.Epoch == n.epoch {", "if false {",
	}}},
	{"an epoch is taken, and the stream gone by at once", 1, []edit{{
		"audit.go", "case a.epoch.Name != n.epoch && !a.isOurs:", "case false:",
	}}},
	{"a hole is closed without a proof", 300, []edit{{
		"repair.go", "\tcase first.Seq > r.last && !n.isProved(r, h):\n\t\treturn false\n", "",
	}}},
	{"a hole is closed from a message that the stream does not have", 1, []edit{{
		"repair.go", "\tcase r.last > 0 && h.state.First <= r.last: // It would be there, if it had been the stream's.\n\t\treturn false\n", "",
	}}},
	{"nothing before it is no loss, whenever that was", 300, []edit{{
		"follow.go", "m.Prev == 0 && n.isFresh(r, m.Seq):", "m.Prev == 0:",
	}}},
	{"a stream that had room enough has it still", 1, []edit{{
		"follow.go", " && upTo <= n.recent.fitsTo", "",
	}}},
	{"a room of which nothing is kept has never had anything", 1, []edit{{
		"opening.go", "r.before = endOf(min(max(seq, a.state.First-1), a.state.Last))", "r.before = min(seq, 0)",
	}}},
	{"an end is proved as of its question", 1, []edit{{
		"check.go", "!n.isFresh(r, state.Last) {", "at-r.provenAt > n.o.Age/4 {",
	}}},
	{"a filling claims what is before it", 100, []edit{{
		"opening.go", "f.before = offsetOf(s.Seq, 0) - 1", "f.before = 0",
	}}},
	{"one page is taken for all that a room has had", 1000, []edit{{
		"opening.go", "isFirst && a.isAll && len(a.kept) < n.o.PacksMax && r.whole > 0", "r.whole > 0",
	}}},
	{"a filling that was cut claims what was cut", 100, []edit{{
		"filling.go", "\t\tf.before = f.kept[0].Offset\n", "",
	}}},
	{"a room that is filled again goes on behind what it was filled with", 100, []edit{{
		"opening.go", "\tif !r.isPlaced {\n\t\tr.last, r.lastID, r.isPlaced =", "\tif true {\n\t\tr.last, r.lastID, r.isPlaced =",
	}}},
	{"a new epoch resets nothing", 300, []edit{{
		"audit.go", "\tfor _, r := range n.order {\n\t\tn.reset(r)\n\t}\n", "",
	}}},
	{"another message in the last one's place goes unseen", 1, []edit{
		{"follow.go", "case m.Seq == r.last && m.ID != r.lastID:", "case false:"},
		{"check.go", "end.Seq == r.last && end.ID != r.lastID:", "false:"},
		{"audit.go", "(!isThere || s.ID == a.was.seenID), err", "true, err"},
	}},
}

// maker builds the model with a mutant in place of the product. The files are those that the model
// is made of.
var maker = mutation.Maker{
	Root:  ".",
	Tests: regexp.MustCompile(`^(world|machine|view|model|judge|opening|forged|stopped|check|claim)_test\.go$`),
	Found: regexp.MustCompile(`seed \d+ \(.*|(opening|forged|stopped|check|claim)_test.go:.*`),
	Args:  []string{"-test.run", "TestNodesFromSeeds|TestOpening|TestRoomIn|TestForged|TestStopped|TestStream|TestClaim|TestWhoWasAway|TestNodesThat"},
	Env:   []string{"SLUICE_CI="},
}

// The model finds bugs, and not only none in a product that has none.
func TestMutantsAreFound(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the mutants are the same without the race detector, and found sooner")
	}
	for _, m := range mutants {
		maker.MustApply(t, m.name, m.edits) // Whether it is made or not.
	}
	for _, i := range maker.Choose(t, "cluster.mutants", *mutantsFlag, len(mutants), func(i int) string { return mutants[i].name }) {
		m := &mutants[i]
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			maker.MustBeFound(t, m.name, m.edits, "-cluster.seeds", strconv.Itoa(m.seeds))
		})
	}
}
