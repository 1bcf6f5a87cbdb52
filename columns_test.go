package sluice

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// columnsMax is how wide comments and prose may be.
const columnsMax = 100

// columnsOf is the width of a line, with a tab stop every four columns.
func columnsOf(line string) (n int) {
	for _, r := range line {
		if n++; r == '\t' {
			n = (n + 3) / 4 * 4
		}
	}
	return n
}

// Comments and prose are read beside something else. Code may be wider, and so may tables of
// documents and the commands in them.
func TestCommentsAndProseHaveAHundredColumns(t *testing.T) {
	comments := map[string]string{".go": "//", ".js": "//", ".java": "//", ".sh": "#", ".py": "#", "": "#"}
	files := 0
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == ".git" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return err
		}
		begin, isCode := comments[filepath.Ext(p)]
		isCode = isCode && (filepath.Ext(p) != "" || p == filepath.Join(".ci", "run"))
		if !isCode && filepath.Ext(p) != ".md" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		files++
		isFenced := false
		at := 0
		for line := range strings.Lines(string(text)) {
			at++
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "```") {
				isFenced = !isFenced
			}
			isRead := isCode && strings.HasPrefix(strings.TrimSpace(line), begin) ||
				!isCode && !isFenced && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "![")
			if n := columnsOf(line); isRead && n > columnsMax {
				t.Errorf("%s:%d: %d columns, want at most %d", p, at, n, columnsMax)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 {
		t.Errorf("only %d files found: the test looks in the wrong place", files)
	}
}
