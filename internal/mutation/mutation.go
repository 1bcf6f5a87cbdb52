// Package mutation makes the product with a bug of a line or two, for tests of tests: what looks
// for bugs from seeds has to find it. go build's overlay does that beside the tree, so that the
// product has no hook for it.
package mutation

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// An Edit is a file, a text that stands in it once, and what stands there instead.
type Edit [3]string

// A Maker makes mutants of the package in the working directory, which is a test's own.
type Maker struct {
	Root  string         // where the files of edits are, seen from there
	Tests *regexp.Regexp // the files of the tests that find them: without the others a mutant is built in a third of the time
	Found *regexp.Regexp // what such a test says when it has found a bug
	Args  []string       // that choose the tests of a mutant's binary
	Env   []string       // what is other in its environment

	isTidy bool // many are made: none leaves anything in the go command's cache
	ready  sync.Once
}

// Bounds on building a mutant, and on finding its bug.
const (
	buildTime = 3 * time.Minute
	findTime  = 4 * time.Minute
)

// rarely makes the compiler, the linker and a mutant collect garbage a quarter as often: there are
// many mutants, and none of these takes much memory.
const rarely = "GOGC=400"

// MustApply ends the test if the product has moved on: the edits are to be mended, or a bug to be
// found that is as bad.
func (m *Maker) MustApply(t *testing.T, name string, edits []Edit) { m.sources(t, name, edits) }

// sources are the files that edits change, as they are then.
func (m *Maker) sources(t *testing.T, name string, edits []Edit) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, e := range edits {
		file, was, is := e[0], e[1], e[2]
		text, ok := texts[file]
		if !ok {
			p, err := os.ReadFile(filepath.Join(m.Root, file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(p)
		}
		if n := strings.Count(text, was); n != 1 {
			t.Fatalf("mutant %q no longer applies: its text stands in %s %d times, want 1:\n%s", name, file, n, was)
		}
		texts[file] = strings.Replace(text, was, is, 1)
	}
	return texts
}

// MustBeFound builds the tests with the edits in the product, and runs them over so many seeds: one
// of them has to fail, and to say what it has found. args come behind Args.
func (m *Maker) MustBeFound(t *testing.T, name string, edits []Edit, args ...string) {
	t.Helper()
	dir := t.TempDir()
	listed, binary := m.overlay(t, dir, m.sources(t, name, edits)), filepath.Join(dir, "mutant.test")
	m.build(t, listed, binary)
	finding, cancel := context.WithTimeout(t.Context(), findTime)
	defer cancel()
	run := exec.CommandContext(finding, binary, append(append([]string{"-test.timeout", "200s"}, m.Args...), args...)...)
	run.Env = append(append(os.Environ(), rarely), m.Env...)
	out, err := run.CombinedOutput()
	if err == nil {
		t.Fatalf("not found with %v", args)
	}
	found := m.Found.Find(out)
	if found == nil {
		t.Fatalf("the tests ended without a finding: %v\n%s", err, out)
	}
	t.Logf("%s", found)
}

// overlay writes what go build is to take in place of the tree's files, and returns the list of it.
func (m *Maker) overlay(t *testing.T, dir string, sources map[string]string) (listed string) {
	t.Helper()
	replace := map[string]string{}
	for file, text := range sources {
		mutated := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[absolute(t, filepath.Join(m.Root, file))] = mutated
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range tests {
		if !m.Tests.MatchString(file) {
			replace[absolute(t, file)] = "" // It is not there.
		}
	}
	list, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		t.Fatal(err)
	}
	listed = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(listed, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return listed
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Choose returns which of so many mutants are to be made: those whose names match what a flag says;
// if it says nothing all of them with SLUICE_CI=1, and otherwise the first.
func (m *Maker) Choose(t *testing.T, flag, says string, n int, name func(i int) string) (chosen []int) {
	t.Helper()
	if says == "" && os.Getenv("SLUICE_CI") != "1" {
		t.Logf("1 of %d mutants; all with SLUICE_CI=1 or -%s .", n, flag)
		return []int{0}
	}
	want := regexp.MustCompile(says)
	for i := range n {
		if want.MatchString(name(i)) {
			chosen = append(chosen, i)
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("-%s %s is none of %d mutants", flag, says, n)
	}
	m.isTidy = len(chosen) > 1
	return chosen
}
