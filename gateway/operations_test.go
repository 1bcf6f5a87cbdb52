package gateway

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Whoever finds a code or a line in docs/operations.md finds what to do; and there is none that is
// not there.
func TestOperationsKnowsEveryCloseReason(t *testing.T) {
	text := readOperations(t)
	for r, about := range reasons {
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + about.label + "`[^|]*\\| ([^|]*) \\|.*$").FindStringSubmatch(text)
		if row == nil {
			t.Errorf("%s, which is %d, is in no row", about.label, r)
			continue
		}
		code := int(about.code)
		if code == 0 { // Some are only subscribers' ends.
			code = int(subscriberReasons[r].code)
		}
		if code != 0 && row[1] != strconv.Itoa(code) {
			t.Errorf("%s has code %d, and the row says %q", about.label, code, row[1])
		}
		if code == 0 && strings.ContainsAny(row[1], "0123456789") {
			t.Errorf("%s has no code, and the row says %q", about.label, row[1])
		}
	}
}

// levels are the methods of a logger, with the place of the line among their arguments.
var levels = map[string]int{"Debug": 0, "Info": 0, "Warn": 0, "Error": 0, "Log": 2}

func TestOperationsKnowsEveryLogLine(t *testing.T) {
	text := readOperations(t)
	found := 0
	for _, dir := range []string{".", "admin", "auth", "../cmd/gateway", "../hub", "../hub/cluster", "../hub/cluster/natsbroker", "../hub/nodes"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing is in %s: %v", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, line := range logLines(t, file) {
				found++
				if !strings.Contains(text, "`"+line+"`") {
					t.Errorf("%s: the line %q is not there", file, line)
				}
			}
		}
	}
	for _, step := range steps {
		if step.text != "" && !strings.Contains(text, "`"+step.text+"`") {
			t.Errorf("the line %q is not there", step.text)
		}
	}
	if found < 30 {
		t.Errorf("only %d lines were found: the test looks in the wrong place", found)
	}
}

func readOperations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// logLines are what a file logs, as far as it stands there in quotes.
func logLines(t *testing.T, file string) (lines []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at, ok := levels[method.Sel.Name]
		before := ""
		if method.Sel.Name == "warn" { // What package cluster logs of one kind once a second.
			at, before, ok = 1, "cluster: ", true
		} else if !strings.EqualFold(nameOf(method.X), "log") {
			return true
		}
		if !ok || at >= len(call.Args) {
			return true
		}
		if literal, ok := call.Args[at].(*ast.BasicLit); ok {
			if line, err := strconv.Unquote(literal.Value); err == nil {
				lines = append(lines, before+line)
			}
		}
		return true
	})
	return lines
}

// nameOf is the last name of x, as in c.w.log.
func nameOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}
