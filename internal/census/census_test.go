package main

import (
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLayersLetAsFewReferencesAsPossibleRunBack(t *testing.T) {
	files := []string{"a.go", "b.go", "c.go", "d.go", "e.go", "f.go"}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		refs := map[reference]map[string]bool{}
		for _, from := range files {
			for _, to := range files {
				if from != to && random.IntN(3) == 0 {
					refs[reference{from, to}] = map[string]bool{"x": true}
				}
			}
		}
		fewest := len(refs)
		permute(files, func(order []string) { fewest = min(fewest, len(runningBack(order, refs))) })
		if order, back := layers(refs); len(back) != fewest {
			t.Errorf("seed %d: %v has %d of %d run back, want %d", seed, order, len(back), len(refs), fewest)
		}
	}
}

func permute(names []string, yield func([]string)) {
	var from func(i int)
	from = func(i int) {
		if i == len(names) {
			yield(names)
			return
		}
		for j := i; j < len(names); j++ {
			names[i], names[j] = names[j], names[i]
			from(i + 1)
			names[i], names[j] = names[j], names[i]
		}
	}
	from(0)
}

func TestInstrumentPutsACallBeforeEachStatement(t *testing.T) {
	const source = `package p

type t struct{}

func (*t) f(n int) int {
	switch {
	case n > 1:
		return func() int { return n }()
	default:
	}
	return 0
}

func empty() {}
`
	const want = `package p; import census__ "m/internal/census/trace"

type t struct{}

func (*t) f(n int) int {census__.Enter(0);
	census__.At(0);switch {
	case n > 1:
		census__.At(0);return func() int { census__.At(0);return n }()
	default:
	}
	census__.At(0);return 0
}

func empty() {census__.Enter(1);}
`
	path := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	var functions []function
	got, err := (&module{name: "m"}).instrument(&pkg{ImportPath: "m/p"}, path, &functions)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), path, got, 0); err != nil {
		t.Error(err)
	}
	if len(functions) != 2 || functions[0].name != "t.f" || functions[1].name != "empty" {
		t.Errorf("functions %v, want t.f and empty", functions)
	}
}

func TestReferencesNameWhatIsUsed(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	m, err := load("cmd/gateway")
	if err != nil {
		t.Fatal(err)
	}
	hub := m.packages["sluice/hub"]
	refs, err := m.references(hub)
	if err != nil {
		t.Fatal(err)
	}
	for r, names := range refs {
		source, err := os.ReadFile(filepath.Join(hub.Dir, r.from))
		if err != nil {
			t.Fatal(err)
		}
		for name := range names {
			if !strings.Contains(string(source), name) {
				t.Errorf("%s does not mention %s of %s", r.from, name, r.to)
			}
		}
	}
	if len(refs) < len(hub.GoFiles) {
		t.Errorf("%d references between %d files, want more", len(refs), len(hub.GoFiles))
	}
}
