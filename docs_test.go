package sluice

import (
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are the tree's *.md files, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && p != "."):
			return filepath.SkipDir
		case strings.HasSuffix(p, ".md"):
			text, err := os.ReadFile(p)
			all[filepath.ToSlash(p)] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A testFunc is a test, and the directory of its package.
type testFunc struct{ dir, name string }

// functions are the names of functions and methods by file, and all tests.
func functions(t *testing.T) (byFile map[string]map[string]bool, tests []testFunc) {
	t.Helper()
	byFile = map[string]map[string]bool{}
	isTest := regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)`)
	for _, s := range sources(t) {
		byFile[s.path] = map[string]bool{}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				byFile[s.path][f.Name.Name] = true
				if s.isTest() && f.Recv == nil && isTest.MatchString(f.Name.Name) {
					tests = append(tests, testFunc{s.dir(), f.Name.Name})
				}
			}
		}
	}
	return byFile, tests
}

// A newcomer reads ARCHITECTURE.md in a quarter of an hour, and it leaves out no file of the two
// packages that it explains: each is named in the table of its package, where files of one name are
// two.
func TestArchitectureIsShortAndNamesEveryFile(t *testing.T) {
	text := documents(t)["ARCHITECTURE.md"]
	if n := strings.Count(text, "\n"); n > 250 {
		t.Errorf("%d lines, want at most 250", n)
	}
	for _, dir := range []string{"gateway", "hub"} {
		_, table, _ := strings.Cut(text, "\n| "+dir+"/ |")
		table, _, _ = strings.Cut(table, "\n\n")
		for _, s := range sources(t) {
			if !s.isTest() && s.dir() == dir && !strings.Contains(table, "`"+path.Base(s.path)+"`") {
				t.Errorf("%s is not named in the table of %s/", s.path, dir)
			}
		}
	}
}

var (
	fileName  = regexp.MustCompile(`[\w*][\w*./-]*\.(?:go|md)\b`)
	document  = regexp.MustCompile(`[\w][\w/-]*\.md\b`)
	linkTo    = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	funcIn    = regexp.MustCompile(`([\w/]+\.go):(\w+)`)
	testName  = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*…?`)
	goTest    = regexp.MustCompile("go test [^`·\n]*")
	packages  = regexp.MustCompile(`\s\./([\w./]*)`)
	runOption = regexp.MustCompile(`-(?:test\.)?(?:run|fuzz) '?([^\s'` + "`" + `]+)`)
)

// runPattern is the pattern of a -run option as far as it chooses tests; nil for one that chooses
// none.
func runPattern(option string) *regexp.Regexp {
	if option == "^$" {
		return nil
	}
	pattern, _, _ := strings.Cut(option, "/")
	return regexp.MustCompile(pattern)
}

// Documents are read by people who cannot tell a file or a test that has gone from one that they do
// not find. Comments may name documents, and no others.
func TestDocumentsReferToWhatExists(t *testing.T) {
	byFile, tests := functions(t)
	byName := map[string]bool{"nats.go": true} // A library's name, which looks like a file's.
	for file := range byFile {
		byName[path.Base(file)] = true
	}
	all := documents(t)
	for file := range all {
		byName[path.Base(file)] = true
	}
	isThere := func(dir, name string) bool {
		if !strings.Contains(name, "/") {
			for base := range byName {
				if ok, _ := path.Match(name, base); ok {
					return true
				}
			}
		}
		for _, p := range []string{name, path.Join(dir, name)} {
			if found, _ := filepath.Glob(p); len(found) > 0 {
				return true
			}
		}
		return false
	}
	hasTest := func(is func(testFunc) bool) bool {
		for _, test := range tests {
			if is(test) {
				return true
			}
		}
		return false
	}
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			for _, name := range document.FindAllString(group.Text(), -1) {
				if !isThere(s.dir(), name) {
					t.Errorf("%s: there is no %s", s.at(group), name)
				}
			}
		}
	}
	for doc, text := range all {
		for _, name := range fileName.FindAllString(text, -1) {
			if !isThere(path.Dir(doc), name) {
				t.Errorf("%s: there is no %s", doc, name)
			}
		}
		for _, m := range linkTo.FindAllStringSubmatch(text, -1) {
			if !isThere(path.Dir(doc), m[1]) {
				t.Errorf("%s: a link leads to %s, which is not there", doc, m[1])
			}
		}
		for _, m := range funcIn.FindAllStringSubmatch(text, -1) {
			if !byFile[m[1]][m[2]] {
				t.Errorf("%s: there is no %s in %s", doc, m[2], m[1])
			}
		}
		for _, name := range testName.FindAllString(text, -1) {
			prefix, isPrefix := strings.CutSuffix(name, "…")
			if !hasTest(func(f testFunc) bool { return f.name == prefix || isPrefix && strings.HasPrefix(f.name, prefix) }) &&
				!strings.Contains(text, "-run "+name) && !strings.Contains(text, "-run '"+name) && !strings.Contains(text, "-test.run "+name) {
				t.Errorf("%s: there is no test %s", doc, name)
			}
		}
		for _, m := range runOption.FindAllStringSubmatch(text, -1) {
			if pattern := runPattern(m[1]); pattern != nil && !hasTest(func(f testFunc) bool { return pattern.MatchString(f.name) }) {
				t.Errorf("%s: -run %s runs no test", doc, m[1])
			}
		}
		for _, command := range goTest.FindAllString(text, -1) {
			dirs, m := packages.FindAllStringSubmatch(command, -1), runOption.FindStringSubmatch(command)
			if len(dirs) != 1 || m == nil || runPattern(m[1]) == nil {
				continue
			}
			dir, isTree := strings.CutSuffix(strings.TrimSuffix(dirs[0][1], "/"), "...")
			dir = strings.TrimSuffix(dir, "/")
			if !hasTest(func(f testFunc) bool {
				isIn := f.dir == dir || isTree && (dir == "" || strings.HasPrefix(f.dir, dir+"/"))
				return isIn && runPattern(m[1]).MatchString(f.name)
			}) {
				t.Errorf("%s: %s: that package has no such test", doc, command)
			}
		}
	}
}

var (
	fence    = regexp.MustCompile("(?ms)^```.*?^```$")
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unslug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	anchorTo = regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`)
)

// anchors are the names by which links lead to a document's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all[strings.ReplaceAll(unslug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// A link to a heading that is not there leads to a page's beginning, and nobody is told.
func TestDocumentsLinkToHeadingsThatExist(t *testing.T) {
	all := documents(t)
	found := 0
	for doc, text := range all {
		for _, m := range anchorTo.FindAllStringSubmatch(text, -1) {
			to := doc
			if m[1] != "" {
				to = path.Join(path.Dir(doc), m[1])
			}
			found++
			if !anchors(all[to])[m[2]] {
				t.Errorf("%s: %s has no heading #%s", doc, to, m[2])
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d such links were found", found)
	}
}

// Tests carry the ids of rows in docs/faults.md: each id has its row there, and each row a test or
// the words that say why not.
func TestFaultsAreExplainedAndShown(t *testing.T) {
	_, tests := functions(t)
	ids := regexp.MustCompile(`^Test((?:[A-Z]\d\d_)+)`)
	shown := map[string]bool{}
	for _, test := range tests {
		if m := ids.FindStringSubmatch(test.name); m != nil {
			for id := range strings.SplitSeq(strings.TrimSuffix(m[1], "_"), "_") {
				shown[id] = true
			}
		}
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z]\d\d) \|.*\| ([^|]*) \|$`).FindAllStringSubmatch(documents(t)["docs/faults.md"], -1) {
		id, by := m[1], m[2]
		if rows[id] {
			t.Errorf("%s has two rows", id)
		}
		rows[id] = true
		isBuilt := !strings.Contains(by, "not built yet")
		if isBuilt != (shown[id] || strings.Contains(by, "`Test")) {
			t.Errorf("%s: says %q, and tests with its id: %t", id, by, shown[id])
		}
	}
	for id := range shown {
		if !rows[id] {
			t.Errorf("%s has no row in docs/faults.md", id)
		}
	}
	if len(rows) < 100 {
		t.Errorf("only %d rows were found", len(rows))
	}
}
