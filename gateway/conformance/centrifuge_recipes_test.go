package conformance

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
	"sluice/internal/realclients"
	"sluice/internal/testenv"
)

// recipe is the one program of docs/protocol.md in a language that connects an SDK, with another
// address for the gateway's.
func recipe(t *testing.T, language, addr string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], "/connection/websocket") {
			found = append(found, m[1])
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d programs in %s, want one", len(found), language)
	}
	return strings.ReplaceAll(found[0], "localhost:8080", addr)
}

// runRecipe runs a program of docs/protocol.md until it has printed a line.
func runRecipe(t *testing.T, command []string, want string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = testenv.LogTo(t)
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	cancel()
	_ = cmd.Wait() // It was killed.
	if err != nil || strings.TrimSpace(line) != want {
		t.Errorf("it has printed %q, %v; want %q", line, err, want)
	}
}

// What docs/protocol.md has people write for Go works as it stands.
func TestCentrifuge_RecipeForGo(t *testing.T) {
	t.Parallel()
	testenv.LeaveToCI(t, "a program is built")
	e := startEndpoint(t, spoken())
	file, program := filepath.Join(t.TempDir(), "main.go"), filepath.Join(t.TempDir(), "recipe")
	if err := os.WriteFile(file, []byte(recipe(t, "go", e.addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runRecipe(t, []string{program}, `{"text":"hello from Go"}`)
}

// And for node.
func TestCentrifuge_RecipeForNode(t *testing.T) {
	t.Parallel()
	realclients.Centrifuge(t)
	modules, err := filepath.Abs("../../internal/realclients/testdata/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	e := startEndpoint(t, spoken())
	file := filepath.Join(t.TempDir(), "recipe.js")
	if err := os.WriteFile(file, []byte(recipe(t, "js", e.addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	runRecipe(t, []string{"node", file}, `{ text: 'hello from Node' }`, "NODE_PATH="+modules)
}

// And for a page, which the gateway itself hands out, with its rooms on one socket.
func TestCentrifuge_RecipeForAPage(t *testing.T) {
	t.Parallel()
	if centrifugo() != "" {
		t.Skip("Centrifugo hands out no pages")
	}
	testenv.LeaveToCI(t, "a browser takes more than a second")
	sdk, _ := realclients.CentrifugeForPages(t)
	o, dir := spoken(), t.TempDir()
	text, err := os.ReadFile(sdk)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "centrifuge.js"), text, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "index.html"), []byte(recipe(t, "html", "")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Pages = http.FileServer(http.Dir(dir))
	e := startEndpoint(t, o)
	p := page{t: t, ctx: browsertest.Start(t)}
	p.do(chromedp.Navigate("http://" + e.addr + "/"))
	p.until(`client.state === "connected" && ["lobby", "news"].every((room) => client.getSubscription(room).state === "subscribed")`)
	if err := e.publishNumbers([]string{"lobby", "news"}, 1, 2); err != nil {
		t.Fatal(err)
	}
	p.until(`document.body.textContent.includes('lobby: {"n":1}\n') && document.body.textContent.includes('news: {"n":1}\n')`)
}
