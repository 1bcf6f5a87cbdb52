// Package sluice has no code of its own: its test holds the whole tree to the conventions of ARCHITECTURE.md.
package sluice

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows are the imports among our own packages that ARCHITECTURE.md draws. A package that is not named here imports none of
// the others. Tests may import what they like.
var arrows = map[string][]string{
	"cmd/gateway":         {"web", "hub", "wsproto", "reactor"},
	"loadtest":            {"wsproto", "reactor"},
	"reactor":             {"reactor/internal/sys"},
	"reactor/reactortest": {"reactor", "reactor/internal/sys"},
}

// spawners are the files of the product that may start goroutines: everything else runs on a loop, or on net/http's.
var spawners = []string{
	"cmd/gateway/logwriter.go",
	"cmd/gateway/main.go", // draining, while a second signal is waited for
	"cmd/gateway/server.go",
}

type source struct {
	path string // with slashes, from the root
	file *ast.File
	fset *token.FileSet
}

func (s source) dir() string          { return path.Dir(s.path) }
func (s source) isTest() bool         { return strings.HasSuffix(s.path, "_test.go") }
func (s source) at(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "peers" || strings.HasPrefix(d.Name(), ".") && p != "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go"):
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		all = append(all, source{filepath.ToSlash(p), file, fset})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(all))
	}
	return all
}

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		for _, spec := range s.file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			ours, ok := strings.CutPrefix(name, "sluice/")
			if ok && !slices.Contains(arrows[s.dir()], ours) {
				t.Errorf("%s: %s must not import %s", s.at(spec), s.dir(), ours)
			}
		}
	}
}

func TestEachPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t) {
		if s.isTest() && s.dir() != "." {
			continue
		}
		list := comments[s.dir()]
		if s.file.Doc != nil {
			list = append(list, s.path)
		}
		comments[s.dir()] = list
	}
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("package comments of %s are in %v, want one", dir, files)
		}
	}
}

// Zero goroutines per connection, and one clock: both are easily lost in one line that nobody notices.
func TestGoroutinesStartAndClocksAreReadWhereTheyMay(t *testing.T) {
	for _, s := range sources(t) {
		isProduct := !s.isTest() && (s.dir() == "cmd/gateway" || s.dir() == "hub" || s.dir() == "wsproto" || strings.HasPrefix(s.dir(), "reactor"))
		if !isProduct || s.dir() == "reactor/internal/sys" || s.dir() == "reactor/reactortest" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				if !slices.Contains(spawners, s.path) {
					t.Errorf("%s: a goroutine starts here", s.at(n))
				}
			case *ast.SelectorExpr:
				pkg, ok := n.X.(*ast.Ident)
				if !ok || pkg.Obj != nil {
					return true
				}
				switch pkg.Name + "." + n.Sel.Name {
				case "time.Now", "time.Since", "time.AfterFunc", "time.NewTimer", "time.Sleep":
					t.Errorf("%s: %s.%s; loops have a clock and a wheel", s.at(n), pkg.Name, n.Sel.Name)
				case "fmt.Print", "fmt.Println", "fmt.Printf", "log.Print", "log.Println", "log.Printf":
					t.Errorf("%s: a stray print", s.at(n))
				}
			}
			return true
		})
	}
}

func TestReadmeNamesTheTwoCommands(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"go run ./cmd/gateway", "go test ./..."} {
		if !strings.Contains(string(readme), command) {
			t.Errorf("README.md does not say %q", command)
		}
	}
}
