package admin

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
)

// What README.md and docs/admin.md have people run from curl, Python and Node does what it says.
func TestRecipesOfTheDocumentPublish(t *testing.T) {
	t.Parallel()
	var blocks []string
	for _, document := range []string{"README.md", "docs/admin.md"} {
		text, err := os.ReadFile("../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?s)```(sh|python|js)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[2], "http://127.0.0.1:8081/api") {
				program := strings.ReplaceAll(m[2], "export KEY=$(cat admin.key)\n", "") // It is in the environment here.
				blocks = append(blocks, m[1]+"\n"+program)
			}
		}
	}
	npm, err := filepath.Abs("../../internal/realclients/testdata/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	recipes := []struct {
		language, tool, module string
		heard                  []string
	}{
		{"sh", "bash", "", []string{"hello"}},
		{"sh", "bash", "", []string{"hello", `{"price":1}`, `{"price":2}`}},
		{"python", "python3", "", []string{`{"price": 3}`}},
		{"js", "node", "", []string{`{"price":4}`}},
		{"js", "node", "cent.js", []string{`{"price":5}`}},
	}
	if len(blocks) != len(recipes) {
		t.Fatalf("%d recipes were found, want %d", len(blocks), len(recipes))
	}
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("lobby")
	for i, one := range recipes {
		t.Run(one.tool+one.module, func(t *testing.T) {
			tools := []string{one.tool}
			if one.language == "sh" {
				tools = append(tools, "curl")
			}
			for _, tool := range tools {
				if _, err := exec.LookPath(tool); err != nil {
					testenv.LeaveOut(t, "%s is not in PATH", tool)
				}
			}
			if one.module != "" {
				if _, err := os.Stat(filepath.Join(npm, one.module)); err != nil {
					testenv.LeaveOut(t, "npm's %s is not installed: run internal/realclients/install.sh", one.module)
				}
			}
			language, program, _ := strings.Cut(blocks[i], "\n")
			if language != one.language {
				t.Fatalf("it is %s, want %s", language, one.language)
			}
			file := filepath.Join(t.TempDir(), "recipe")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(program, "127.0.0.1:8081", s.admin)), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), one.tool, file)
			cmd.Env = append(os.Environ(), "KEY="+testKey, "NODE_PATH="+npm)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range one.heard {
				s.hears(c, websocket.MessageText, want)
			}
		})
	}
}
