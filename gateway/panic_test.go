package gateway

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// N27: the table goes by names, which the compiler does not hold to anything.
func TestN27_ExtentsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, e := range extents {
		dir, name, hasType := strings.Cut(strings.TrimPrefix(e.passed, "sluice/"), ".")
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no package there: %v", e.passed, err)
		}
		if !hasType {
			continue
		}
		receiver, method, _ := strings.Cut(name, ").")
		receiver = strings.Trim(receiver, "()")
		if method == "" {
			method = `\w+`
		}
		declared := regexp.MustCompile(`(?m)^func \(\w+ ` + regexp.QuoteMeta(receiver) + `\) ` + method + `\(`)
		isThere := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			isThere = isThere || declared.Match(text)
		}
		if !isThere {
			t.Errorf("%s: nothing is declared like %s", e.passed, declared)
		}
	}
}
