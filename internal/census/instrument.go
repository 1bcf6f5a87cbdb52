package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A function is declared in the product. Literals count as part of the one that they stand in.
type function struct{ name, file, pkg string }

// An insertion is text to be put into a file.
type insertion struct {
	at   int
	text string
}

// build makes the program with a call of package trace before every statement of the module's
// packages, by way of go build's overlay: the tree itself stays as it is. It returns the functions
// that the calls name by their index.
func (m *module) build(dir, binary string) (functions []function, err error) {
	replaced := map[string]string{}
	for _, p := range m.packages {
		for _, file := range p.GoFiles {
			changed, err := m.instrument(p, file, &functions)
			if err != nil {
				return nil, err
			}
			replaced[file] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replaced)))
			if err := os.WriteFile(replaced[file], changed, 0o600); err != nil {
				return nil, err
			}
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return nil, err
	}
	listed := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(listed, list, 0o600); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-overlay", listed, "-o", binary, m.program)
	build.Dir = m.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(out)))
	}
	return functions, nil
}

// instrument returns a file with the calls in it. Lines stay what they are.
func (m *module) instrument(p *pkg, path string, functions *[]function) ([]byte, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	offset := func(at token.Pos) int { return fset.Position(at).Offset }
	inserts := []insertion{{offset(file.Name.End()), fmt.Sprintf("; import census__ %q", m.name+"/internal/census/trace")}}
	for _, decl := range file.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok || d.Body == nil {
			continue
		}
		number := len(*functions)
		*functions = append(*functions, function{nameOf(d), path, p.ImportPath})
		inserts = append(inserts, insertion{offset(d.Body.Lbrace) + 1, fmt.Sprintf("census__.Enter(%d);", number)})
		ast.Inspect(d.Body, func(n ast.Node) bool {
			var list []ast.Stmt
			switch n := n.(type) {
			case *ast.BlockStmt:
				list = n.List
			case *ast.CaseClause:
				list = n.Body
			case *ast.CommClause:
				list = n.Body
			}
			for _, s := range list {
				if _, isClause := s.(*ast.CaseClause); isClause {
					continue
				}
				if _, isClause := s.(*ast.CommClause); !isClause {
					inserts = append(inserts, insertion{offset(s.Pos()), fmt.Sprintf("census__.At(%d);", number)})
				}
			}
			return true
		})
	}
	if len(inserts) == 1 {
		return source, nil // It would not use what it imports.
	}
	slices.SortStableFunc(inserts, func(a, b insertion) int { return a.at - b.at })
	var changed []byte
	last := 0
	for _, i := range inserts {
		changed = append(append(changed, source[last:i.at]...), i.text...)
		last = i.at
	}
	return append(changed, source[last:]...), nil
}

// nameOf is a function's name, behind its receiver's type if it has one.
func nameOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "." + d.Name.Name
	}
	return d.Name.Name
}
