package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/report"
)

// Every flag, gate's figure and preset stands in the README, and no flag that does not exist.
func TestReadmeNamesEveryFlag(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)
	parser := kong.Must(&CLI{}, kong.Name("loadtest"))
	known := map[string]bool{"help": true}
	for _, command := range parser.Model.Children {
		for _, f := range command.Flags {
			known[f.Name], known["no-"+f.Name] = true, true
			if !command.Hidden && !strings.Contains(readme, "`--"+f.Name) && !strings.Contains(readme, "`--no-"+f.Name) {
				t.Errorf("README.md does not have --%s of %s", f.Name, command.Name)
			}
		}
	}
	for _, name := range report.GateNames() {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(readme) {
			t.Errorf("README.md does not have the figure %s", name)
		}
	}
	for _, name := range load.PresetNames() {
		if !strings.Contains(readme, "| `"+name+"` |") {
			t.Errorf("README.md does not have the preset %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(readme, -1) {
		if !known[m[1]] {
			t.Errorf("README.md has --%s, which does not exist", m[1])
		}
	}
}
