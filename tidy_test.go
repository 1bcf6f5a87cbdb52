// Package sluice has no code of its own: its test holds the whole tree to the conventions of
// ARCHITECTURE.md.
package sluice

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows are the imports among our own packages that ARCHITECTURE.md draws, by directory. A
// directory that is not here is a mistake. Tests beside the code may import what they like; a
// directory of nothing but tests is held to its line here.
var arrows = map[string][]string{
	"cmd/gateway":             {"gateway", "gateway/admin", "gateway/auth", "hub", "hub/cluster", "hub/cluster/natsbroker", "hub/nodes", "reactor", "web"},
	"gateway":                 {"gateway/centrifuge", "gateway/internal/sample", "gateway/sse", "hub", "wsproto", "reactor"},
	"gateway/admin":           {"gateway", "gateway/internal/sample", "hub", "reactor", "wsproto"},
	"gateway/auth":            {"gateway"},
	"gateway/centrifuge":      {},
	"gateway/sse":             {},
	"gateway/internal/sample": {},
	"hub":                     {},
	"hub/cluster":             {"hub"},
	"hub/cluster/natsbroker":  {"hub/cluster"},
	"hub/nodes":               {"hub"},
	"loadtest": {
		"loadtest/internal/bench", "loadtest/internal/compare", "loadtest/internal/floor", "loadtest/internal/limits",
		"loadtest/internal/load", "loadtest/internal/progress", "loadtest/internal/report",
		"loadtest/internal/run", "loadtest/internal/server",
	},
	"loadtest/internal/bench": {
		"loadtest/internal/compare", "loadtest/internal/limits", "loadtest/internal/load", "loadtest/internal/payload",
		"loadtest/internal/report", "loadtest/internal/run", "reactor",
	},
	"loadtest/internal/centrifuge": {},
	"loadtest/internal/compare": {
		"loadtest/internal/limits", "loadtest/internal/load", "loadtest/internal/page",
		"loadtest/internal/payload", "loadtest/internal/progress", "loadtest/internal/report",
		"loadtest/internal/run",
	},
	"loadtest/internal/dial":        {"reactor"},
	"loadtest/internal/eventstream": {},
	"loadtest/internal/floor":       {"loadtest/internal/limits", "wsproto"},
	"loadtest/internal/latency":     {},
	"loadtest/internal/limits":      {"reactor"},
	"loadtest/internal/load":        {"loadtest/internal/payload", "reactor", "wsproto"},
	"loadtest/internal/page":        {},
	"loadtest/internal/payload":     {},
	"loadtest/internal/process": {
		"loadtest/internal/centrifuge", "loadtest/internal/dial", "loadtest/internal/eventstream", "loadtest/internal/latency",
		"loadtest/internal/load", "loadtest/internal/payload", "loadtest/internal/shared", "loadtest/internal/usage",
		"reactor", "wsproto",
	},
	"loadtest/internal/progress": {},
	"loadtest/internal/report": {
		"loadtest/internal/latency", "loadtest/internal/load", "loadtest/internal/page",
		"loadtest/internal/process", "loadtest/internal/usage",
	},
	"loadtest/internal/run": {
		"loadtest/internal/limits", "loadtest/internal/load", "loadtest/internal/payload",
		"loadtest/internal/process", "loadtest/internal/progress", "loadtest/internal/report",
		"loadtest/internal/server", "loadtest/internal/shared", "loadtest/internal/usage",
	},
	"loadtest/internal/server":     {},
	"loadtest/internal/servertest": {},
	"loadtest/internal/shared":     {"reactor"},
	"loadtest/internal/usage":      {},
	"reactor":                      {"reactor/internal/sys"},
	"reactor/internal/sys":         {},
	"reactor/reactortest":          {"reactor", "reactor/internal/sys"},
	"web":                          {},
	"wsproto":                      {},

	// What tests share, and tests from outside.
	"cmd/gateway/blackbox":       {"internal/natstest", "internal/proctest", "internal/testenv", "internal/wstest", "wsproto"},
	"hub/cluster/clustertest":    {"hub", "hub/cluster", "hub/cluster/natsbroker", "internal/natstest", "internal/proctest", "internal/testenv", "internal/wstest"},
	"gateway/conformance":        {"gateway", "gateway/admin", "gateway/auth", "hub", "hub/cluster", "hub/cluster/natsbroker", "hub/nodes", "internal/browsertest", "internal/gatewaytest", "internal/metricstest", "internal/natstest", "internal/realclients", "internal/sdktest", "internal/testenv", "internal/wstest", "wsproto"},
	"gateway/internal/simclient": {"hub", "internal/wstest", "reactor/reactortest"},
	"internal/browsertest":       {},
	"internal/census":            {"internal/census/trace", "wsproto"},
	"internal/census/trace":      {},
	"internal/sameness":          {"internal/proctest"},
	"internal/gatewaytest":       {"gateway", "internal/testenv", "web"},
	"internal/metricstest":       {"gateway", "gateway/admin"},
	"internal/mutation":          {},
	"internal/natstest":          {"internal/testenv"},
	"internal/proctest":          {"internal/testenv"},
	"internal/realclients":       {"internal/testenv"},
	"internal/sdktest":           {"internal/browsertest", "internal/realclients", "internal/testenv"},
	"internal/testenv":           {},
	"internal/wstest":            {"internal/testenv", "wsproto"},
}

// spawners are the files of the product that may start goroutines: everything else runs on a loop,
// or on net/http's.
var spawners = []string{
	"cmd/gateway/admin.go", // serving the admin listeners
	"cmd/gateway/logwriter.go",
	"cmd/gateway/send.go",    // reading what the gateway says, while standard input is waited for
	"cmd/gateway/serve.go",   // serving, while a signal is waited for
	"cmd/gateway/signals.go", // draining, likewise
	"gateway/serve.go",
}

// clockReaders are the files of the product that may ask what time it is. What they get out of it
// are times that have passed: by the monotonic reading, which nobody sets.
var clockReaders = []string{
	"cmd/gateway/logwriter.go", // for a moment, at the end; without a timer
	"gateway/admin/clock.go",   // for how long ago something was
	"gateway/refuse_http.go",   // a deadline for the answer on a connection that no loop has
	"hub/cluster/clock.go",     // a clock that begins with the process
	"gateway/wire.go",          // a net.Conn has deadlines, which are nothing to a loop
	"hub/nodes/nodes.go",       // for how long nothing was heard of a node
	"reactor/internal/sys/real_stub.go",
	"reactor/internal/sys/real_unix.go",
}

// wallReaders go by the wall clock, because that is what a token goes by, and what a stream's
// messages are marked with.
var wallReaders = []string{
	"cmd/gateway/token.go", "gateway/auth/jwt.go", "gateway/auth/service.go", "gateway/wall_clock.go", "hub/cluster/natsbroker/read.go",
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

// codeOf tells for each directory whether it has more than tests.
func codeOf(all []source) map[string]bool {
	hasCode := map[string]bool{}
	for _, s := range all {
		hasCode[s.dir()] = hasCode[s.dir()] || !s.isTest()
	}
	return hasCode
}

func TestImportsPointOneWay(t *testing.T) {
	all := sources(t)
	hasCode := codeOf(all)
	for dir := range hasCode {
		if _, ok := arrows[dir]; !ok && dir != "." {
			t.Errorf("%s is in no drawing: say what it may import, here and in ARCHITECTURE.md", dir)
		}
	}
	for dir := range arrows {
		if _, ok := hasCode[dir]; !ok {
			t.Errorf("%s is gone", dir)
		}
	}
	for _, s := range all {
		if s.isTest() && (hasCode[s.dir()] || s.dir() == ".") {
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
	all := sources(t)
	hasCode := codeOf(all)
	for _, s := range all {
		if s.isTest() && s.dir() != "." && hasCode[s.dir()] {
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

// Zero goroutines per connection, and one clock: both are easily lost in one line that nobody
// notices.
func TestGoroutinesStartAndClocksAreReadWhereTheyMay(t *testing.T) {
	for _, s := range sources(t) {
		isProduct := !s.isTest() && (s.dir() == "cmd/gateway" || s.dir() == "gateway" || strings.HasPrefix(s.dir(), "hub") || s.dir() == "wsproto" || strings.HasPrefix(s.dir(), "reactor"))
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
					if !slices.Contains(clockReaders, s.path) && !slices.Contains(wallReaders, s.path) {
						t.Errorf("%s: %s.%s; loops have a clock and a wheel", s.at(n), pkg.Name, n.Sel.Name)
					}
				case "fmt.Print", "fmt.Println", "fmt.Printf", "log.Print", "log.Println", "log.Printf":
					t.Errorf("%s: a stray print", s.at(n))
				}
			}
			return true
		})
	}
}

// A clock that is set must not end or keep anything. So nobody goes by it: who asks for the time is
// named above and keeps its monotonic reading, which these methods of time.Time would give up or
// look past (package time, "Monotonic Clocks"); nobody else has a time.Time at all; and no other
// way to the wall clock is taken. TestE07_WallClockLeapsAndNothingHappens sets the clock.
func TestE07_NobodyGoesByTheWallClock(t *testing.T) {
	wall := map[string]bool{}
	for _, name := range strings.Fields(`Unix UnixMilli UnixMicro UnixNano Round Truncate UTC Local In AddDate Date Clock Year Month Day YearDay
		Weekday ISOWeek Hour Minute Second Nanosecond Format AppendFormat String GoString MarshalText MarshalJSON MarshalBinary AppendText
		AppendBinary GobEncode`) {
		wall[name] = true
	}
	isZero := func(n ast.Node) bool { // time.Time{}, which takes a deadline away
		lit, ok := n.(*ast.CompositeLit)
		return ok && len(lit.Elts) == 0
	}
	read := map[string]bool{}
	for _, s := range sources(t) {
		isProduct := !s.isTest() && s.dir() != "reactor/reactortest" && s.dir() != "." && !strings.HasPrefix(s.path, "loadtest/") && !strings.HasPrefix(s.path, "internal/")
		if !isProduct || slices.Contains(wallReaders, s.path) {
			continue
		}
		mayRead := slices.Contains(clockReaders, s.path)
		var zero ast.Node
		ast.Inspect(s.file, func(n ast.Node) bool {
			if isZero(n) {
				zero = n.(*ast.CompositeLit).Type
			}
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			isPackage := ok && pkg.Obj == nil
			if mayRead && wall[sel.Sel.Name] && !(isPackage && pkg.Name == "time") {
				t.Errorf("%s: %s gives up the monotonic reading", s.at(sel), sel.Sel.Name)
			}
			if !isPackage || sel == zero {
				return true
			}
			switch pkg.Name + "." + sel.Sel.Name {
			case "time.Now", "time.Since", "time.Until", "time.Time":
				if read[s.path] = true; !mayRead {
					t.Errorf("%s: %s.%s", s.at(sel), pkg.Name, sel.Sel.Name)
				}
			case "time.Unix", "time.UnixMilli", "time.UnixMicro", "time.Date", "time.Parse", "time.ParseInLocation", "http.TimeFormat", "http.ParseTime",
				"unix.ClockGettime", "unix.Gettimeofday", "unix.Time", "unix.TimerfdCreate", "unix.CLOCK_REALTIME",
				"syscall.Gettimeofday", "syscall.Time":
				t.Errorf("%s: %s.%s", s.at(sel), pkg.Name, sel.Sel.Name)
			}
			return true
		})
	}
	for _, path := range clockReaders {
		if !read[path] {
			t.Errorf("%s does not ask for the time: it need not be named", path)
		}
	}
}

// go build -o NAME puts its file into a directory of that name, if there is one: what the documents
// build would not be where they say.
func TestDocumentsBuildWhereNothingIs(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range append(documents, "README.md", "CONTRIBUTING.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, built := range regexp.MustCompile(`go build [^\n]*-o (\S+)`).FindAllStringSubmatch(string(text), -1) {
			found++
			if info, err := os.Stat(built[1]); err == nil && info.IsDir() && !strings.HasSuffix(built[1], "/") {
				t.Errorf("%s builds %s, which is a directory: the file is in it", path, built[1])
			}
		}
	}
	if found < 3 {
		t.Errorf("found %d builds in the documents", found)
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
