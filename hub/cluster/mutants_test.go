package cluster

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
)

var mutantsFlag = flag.String("cluster.mutants", "", "which mutants TestMutantsAreFound makes: a regular expression; without it a few, or all with SLUICE_CI=1")

// A mutant is the product with a bug of a line or two, made beside it by go build's overlay. Each edit's old text must stand
// in its file exactly once; when the product has moved on, mend the edit or find a bug that is as bad.
type mutant struct {
	name  string
	seeds int // within which the model finds it
	edits []edit
}

type edit struct{ file, old, new string }

// The first one is made without being asked for.
const mutantsByDefault = 1

var mutants = []mutant{
	{"retry with a new id", 100, []edit{{
		"unsure.go", "\t\t\tn.counters.repeated.Add(1)\n", "\t\t\tk.id += \"+\"\n",
	}}},
	{"no tail check", 100, []edit{{
		"check.go", "\tif r.state != live {\n\t\treturn false\n", "\tif true {\n\t\treturn false\n",
	}}},
	{"the stream's creation time as epoch", 300, []edit{{
		"trust.go", "\tisSame := !was.isDenied && a.revision >= was.revision\n\tif isSame {\n\t\tisSame, a.err = a.isSame(q, state)\n\t}\n", "\tisSame := true // Lost or copied back, it was made when it was made.\n",
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
		"filling.go", "\tif a.err = q.subscribe(name); a.err != nil {\n\t\treturn\n\t}\n", "\tdefer func() { a.err = errors.Join(a.err, q.subscribe(name)) }()\n",
	}}},
	{"a pack that is looked for is taken for whatever is there", 100, []edit{{
		"unsure.go", "case s != nil && s.ID == k.id:", "case s != nil:",
	}}},
	{"a pack of which nobody knows is sent for ever", 1000, []edit{{
		"sending.go", "giveUpTime = 90 * time.Second", "giveUpTime = time.Hour",
	}}},
	{"an older epoch that came back with the stream is taken for a newer one", 3000, []edit{{
		"trust.go", "if a.revision >= was.revision && !a.isFirst &&", "if !a.isFirst &&",
	}}},
	{"what a node has seen itself counts for nothing", 1000, []edit{
		{"trust.go", "max(a.epoch.Seq, a.was.reached) > state.Last", "a.epoch.Seq > state.Last"},
		{"trust.go", "(!isThere || s.ID == a.was.seenID), err", "true, err"},
		{"trust.go", "\tn.isDenied = true\n", ""},
	}},
	{"a node goes by what it remembers alone", 1000, []edit{{
		"trust.go", "if !n.isTrusted && n.epoch != \"\" && n.isAwaiting(now) {", "if false {",
	}}},
	{"what another node said before the store was another one is an answer", 1, []edit{{
		"claim.go", "if slices.Contains(c.Answers, n.question) {", "if slices.Contains(c.Answers, n.question) || true {",
	}}},
	{"what others have seen counts for nothing", 1000, []edit{{
		"claim.go", "if o.claim.Epoch == n.epoch {", "if false {",
	}}},
	{"an epoch is taken, and the stream gone by at once", 1, []edit{{
		"trust.go", "case a.epoch.Name != n.epoch && !a.isOurs:", "case false:",
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
		"follow.go", " && upTo <= n.fitsTo", "",
	}}},
	{"a room of which nothing is kept has never had anything", 1, []edit{{
		"filling.go", "r.before = endOf(min(max(seq, a.state.First-1), a.state.Last))", "r.before = min(seq, 0)",
	}}},
	{"an end is proved as of its question", 1, []edit{{
		"check.go", "!n.isFresh(r, state.Last) {", "at-r.provenAt > n.o.Age/4 {",
	}}},
	{"a filling claims what is before it", 100, []edit{{
		"filling.go", "f.before = offsetOf(s.Seq, 0) - 1", "f.before = 0",
	}}},
	{"one page is taken for all that a room has had", 1000, []edit{{
		"filling.go", "isFirst && a.isAll && len(a.kept) < n.o.PacksMax && r.whole > 0", "r.whole > 0",
	}}},
	{"a filling that was cut claims what was cut", 100, []edit{{
		"filling.go", "\t\tf.before = f.kept[0].Offset\n", "",
	}}},
	{"a room that is filled again goes on behind what it was filled with", 100, []edit{{
		"filling.go", "\tif !r.isPlaced {\n\t\tr.last, r.lastID, r.isPlaced =", "\tif true {\n\t\tr.last, r.lastID, r.isPlaced =",
	}}},
	{"a new epoch resets nothing", 300, []edit{{
		"trust.go", "\tfor _, r := range n.order {\n\t\tn.reset(r)\n\t}\n", "",
	}}},
	{"another message in the last one's place goes unseen", 1, []edit{
		{"follow.go", "case m.Seq == r.last && m.ID != r.lastID:", "case false:"},
		{"check.go", "end.Seq == r.last && end.ID != r.lastID:", "false:"},
		{"trust.go", "(!isThere || s.ID == a.was.seenID), err", "true, err"},
	}},
}

// The model finds bugs, and not only none in a product that has none.
func TestMutantsAreFound(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the mutants are the same without the race detector, and found sooner")
	}
	chosen := mutants
	switch {
	case *mutantsFlag != "":
		want := regexp.MustCompile(*mutantsFlag)
		chosen = nil
		for _, m := range mutants {
			if want.MatchString(m.name) {
				chosen = append(chosen, m)
			}
		}
	case os.Getenv("SLUICE_CI") != "1":
		chosen = mutants[:mutantsByDefault]
		t.Logf("%d of %d mutants; all with SLUICE_CI=1 or -cluster.mutants .", len(chosen), len(mutants))
	}
	for _, m := range mutants {
		m.sources(t) // It must apply, whether it is made or not.
	}
	for _, m := range chosen {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), m.mustBeFound)
	}
}

// sources returns the mutated text of each file.
func (m *mutant) sources(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, e := range m.edits {
		text, ok := texts[e.file]
		if !ok {
			p, err := os.ReadFile(e.file)
			if err != nil {
				t.Fatal(err)
			}
			text = string(p)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("mutant %q no longer applies: its text stands in %s %d times, want 1:\n%s", m.name, e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return texts
}

// modelFiles are the tests that the model is made of; the others would only take time to build.
var modelFiles = regexp.MustCompile(`^(world|machine|view|model|opening|forged|stopped|check|claim)_test\.go$`)

// mustBeFound builds the model with the mutant in place of the product, and runs it.
func (m *mutant) mustBeFound(t *testing.T) {
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range m.sources(t) {
		mutated := filepath.Join(dir, file)
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[absolute(t, file)] = mutated
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range tests {
		if !modelFiles.MatchString(file) {
			overlay.Replace[absolute(t, file)] = "" // It is not there.
		}
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	listed, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutant.test")
	if err := os.WriteFile(listed, list, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", listed, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not build: %v\n%s", err, out)
	}
	run := exec.CommandContext(ctx, binary, "-test.run", "TestNodesFromSeeds|TestOpening|TestRoomIn|TestForged|TestStopped|TestStream|TestClaim|TestWhoWasAway|TestNodesThat", "-test.timeout", "200s", "-cluster.seeds", strconv.Itoa(m.seeds))
	run.Env = append(os.Environ(), "SLUICE_CI=")
	out, err := run.CombinedOutput()
	if err == nil {
		t.Fatalf("not found within %d seeds", m.seeds)
	}
	found := regexp.MustCompile(`seed \d+ \(.*|(opening|forged|stopped|check|claim)_test.go:.*`).Find(out)
	if found == nil {
		t.Fatalf("the model ended without a finding: %v\n%s", err, out)
	}
	t.Logf("%s", found)
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
