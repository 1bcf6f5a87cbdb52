package mutation

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// build makes the binary of the tests with an overlay. Of many mutants none stays in the go
// command's cache: that would be some 10 MB of each, a GB for each state of the sources.
func (m *Maker) build(t *testing.T, listed, binary string) {
	t.Helper()
	if !m.isTidy {
		m.mustBuild(t, listed, binary)
		return
	}
	// What does not come of an edit is there before: what a mutant adds is its own, and is read by
	// nothing but another run of the same mutant.
	m.ready.Do(func() {
		dir := t.TempDir()
		m.mustBuild(t, m.overlay(t, dir, nil), filepath.Join(dir, "product.test"))
	})
	for _, file := range stored.FindAllSubmatch(m.mustBuild(t, listed, binary), -1) {
		_ = os.Remove(string(file[1])) // The other run may have done it.
	}
}

// stored is a line in which the go command says that it keeps what it has compiled. The file's name
// is made of its content: the cache takes a missing one for something that it never had.
var stored = regexp.MustCompile(`(?m)^cp \S+ (\S+-d) # internal$`)

// mustBuild returns what the go command said that it did. It has three chances: another run of the
// same mutant may remove what this one has found in the cache, before it was read.
func (m *Maker) mustBuild(t *testing.T, listed, binary string) (said []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	var err error
	for _, how := range []string{"-x", "-x", "-x=false"} { // The last one says nothing but what is wrong.
		build := exec.CommandContext(ctx, "go", "test", "-c", how, "-vet=off", "-ldflags=-s -w", "-overlay", listed, "-o", binary, ".")
		build.Env = append(os.Environ(), rarely)
		if said, err = build.CombinedOutput(); err == nil {
			return said
		}
	}
	t.Fatalf("the mutant does not build: %v\n%s", err, said)
	return nil
}
