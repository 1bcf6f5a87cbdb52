package main

import (
	"cmp"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// A reference says that one file uses something that another file of its package declares: a type,
// a function, a method, a field, a variable or a constant. However often it does so counts once.
type reference struct{ from, to string }

// references finds those of a package, with the names of what is used.
func (m *module) references(p *pkg) (map[reference]map[string]bool, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(m.exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", open)}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	checked, err := config.Check(p.ImportPath, fset, files, &info)
	if err != nil {
		return nil, err
	}
	base := func(at token.Pos) string { return filepath.Base(fset.Position(at).Filename) }
	refs := map[reference]map[string]bool{}
	for use, object := range info.Uses {
		if object.Pkg() != checked {
			continue
		}
		r := reference{from: base(use.Pos()), to: base(object.Pos())}
		if r.from == r.to {
			continue
		}
		if refs[r] == nil {
			refs[r] = map[string]bool{}
		}
		refs[r][object.Name()] = true
	}
	return refs, nil
}

// layers puts files into an order in which as few references as possible run from a later one to
// an earlier one, and returns those that do. Finding the best order is hard in general. For some
// dozens of files, moving one at a time from many random orders finds the same number every time.
func layers(refs map[reference]map[string]bool) (order []string, back []reference) {
	found := map[string]bool{}
	for r := range refs {
		found[r.from], found[r.to] = true, true
	}
	names := slices.Sorted(maps.Keys(found))
	random := rand.New(rand.NewPCG(9, 0))
	for try := range 500 {
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		settle(names, refs)
		if now := runningBack(names, refs); try == 0 || len(now) < len(back) {
			order, back = slices.Clone(names), now
		}
	}
	return order, back
}

// settle moves one file at a time to where it spares most, until no move spares anything.
func settle(names []string, refs map[reference]map[string]bool) {
	count := func(from, to string) int { return min(1, len(refs[reference{from, to}])) }
	for hasMoved := true; hasMoved; {
		hasMoved = false
		for i, name := range names {
			best, to := 0, i
			for _, step := range []int{-1, 1} {
				spared := 0
				for j := i + step; j >= 0 && j < len(names); j += step {
					// Passing names[j] turns what runs between the two around.
					spared += step * (count(names[j], name) - count(name, names[j]))
					if spared > best {
						best, to = spared, j
					}
				}
			}
			if best > 0 {
				names = slices.Insert(slices.Delete(names, i, i+1), to, name)
				hasMoved = true
			}
		}
	}
}

func runningBack(names []string, refs map[reference]map[string]bool) (back []reference) {
	for r := range refs {
		if slices.Index(names, r.from) > slices.Index(names, r.to) {
			back = append(back, r)
		}
	}
	slices.SortFunc(back, func(a, b reference) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	return back
}
