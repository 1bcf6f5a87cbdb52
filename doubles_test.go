package sluice

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kernelDir has the interface of system calls and its real implementation.
const kernelDir = "reactor/internal/sys"

// partialDoubles change some of the calls that move bytes and leave others to what they embed:
// those named first here, for the reason behind them. A call that is new on the interface is not
// among them.
var partialDoubles = map[string]string{
	"gateway.countingKernel": "Write, SendRing: it counts what is read alone",
	"gateway.cutKernel":      "Read: it cuts what is written alone",
	"gateway.deafKernel":     "Read, SendRing: what does not come through it is what is written, sealed, which no ring does",
	"gateway.ear":            "Write, SendRing: it hears what is read; what is written its clients judge",
	"reactor.fakeKqueue":     "SendRing: no system with kqueue has rings",
}

// A named is a type: the directory and name of its package, and its own.
type named struct{ dir, pkg, name string }

func (n named) String() string { return n.dir + "." + n.name }

// A double of the kernel that changes how bytes are read or written must change every call that
// does so: one that it only inherits would go past its faults and its counts, and what a test shows
// with it would not be so. A call that is added to the interface, as one that writes for many at
// once, fails here until each double has it.
func TestDoublesOfTheKernelInheritNoDataCallPastTheirFaults(t *testing.T) {
	all := sources(t)
	data := dataCalls(t, all)
	if !slices.Contains(data, "Read") || !slices.Contains(data, "Write") {
		t.Fatalf("the calls that move bytes are %v, without Read or Write", data)
	}
	types, methods := typesOf(all), methodsOf(all)
	types.isKernel = func(n named) bool { // The real one, the interface, or one that needs neither.
		isWhole := !slices.ContainsFunc([]string{"Accept", "Read", "Write", "Close"}, func(call string) bool { return !slices.Contains(methods[n], call) })
		return isWhole || n.dir == kernelDir && n.name == "Calls"
	}
	found, excused := 0, map[string]bool{}
	for n := range types.embedded {
		if !types.isDouble(n, nil) {
			continue
		}
		var has, lacks []string
		for _, call := range data {
			if slices.Contains(methods[n], call) {
				has = append(has, call)
			} else {
				lacks = append(lacks, call)
			}
		}
		if len(has) == 0 {
			continue
		}
		found++
		if len(lacks) == 0 {
			continue
		}
		why, ok := partialDoubles[n.String()]
		if excused[n.String()] = true; !ok || !strings.HasPrefix(why, strings.Join(lacks, ", ")+": ") {
			t.Errorf("%v changes %v and inherits %v: change it too, or name it with the reason", n, has, lacks)
		}
	}
	if found < 3 {
		t.Errorf("only %d doubles found: the test looks in the wrong place", found)
	}
	for name := range partialDoubles {
		if !excused[name] {
			t.Errorf("%s is excused for nothing", name)
		}
	}
}

// dataCalls are the methods of the kernel's interface that take bytes, or a list of the package's
// own type or of lists of bytes.
func dataCalls(t *testing.T, all []source) (names []string) {
	t.Helper()
	for _, s := range all {
		if s.dir() != kernelDir {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != "Calls" {
				return true
			}
			for _, m := range spec.Type.(*ast.InterfaceType).Methods.List {
				if f, ok := m.Type.(*ast.FuncType); ok && takesBytes(f) {
					names = append(names, m.Names[0].Name)
				}
			}
			return false
		})
	}
	return names
}

func takesBytes(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
		list, ok := p.Type.(*ast.ArrayType)
		if !ok {
			return false
		}
		switch element := list.Elt.(type) {
		case *ast.Ident, *ast.ArrayType: // byte, a type of the package's, or a list.
			return true
		case *ast.StarExpr:
			_, isOurs := element.X.(*ast.Ident)
			return isOurs
		}
		return false
	})
}

// declared is what the tree's types are made of.
type declared struct {
	embedded map[named][]named // of structs
	aliases  map[named]named
	isKernel func(named) bool
}

// isDouble reports whether n embeds the kernel, or what does.
func (d declared) isDouble(n named, seen []named) bool {
	return !slices.Contains(seen, n) && slices.ContainsFunc(d.embedded[n], func(e named) bool {
		for range d.aliases {
			if to, ok := d.aliases[e]; ok {
				e = to
			}
		}
		return d.isKernel(e) || d.isDouble(e, append(seen, n))
	})
}

func typesOf(all []source) declared {
	d := declared{embedded: map[named][]named{}, aliases: map[named]named{}}
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			self := named{s.dir(), s.file.Name.Name, spec.Name.Name}
			if to, ok := s.resolve(spec.Type); ok && spec.Assign.IsValid() {
				d.aliases[self] = to
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range st.Fields.List {
				if to, ok := s.resolve(f.Type); ok && len(f.Names) == 0 {
					d.embedded[self] = append(d.embedded[self], to)
				}
			}
			return true
		})
	}
	return d
}

// resolve tells which of our types an expression names.
func (s source) resolve(e ast.Expr) (named, bool) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return s.resolve(e.X)
	case *ast.Ident:
		return named{s.dir(), s.file.Name.Name, e.Name}, true
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		if !ok {
			return named{}, false
		}
		for _, spec := range s.file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			dir, isOurs := strings.CutPrefix(imported, "sluice/")
			name := path.Base(imported)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			if isOurs && name == pkg.Name {
				return named{dir, path.Base(imported), e.Sel.Name}, true
			}
		}
	}
	return named{}, false
}

func methodsOf(all []source) map[named][]string {
	methods := map[named][]string{}
	for _, s := range all {
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			if n, ok := s.resolve(f.Recv.List[0].Type); ok {
				methods[n] = append(methods[n], f.Name.Name)
			}
		}
	}
	return methods
}
