package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/gateway"
)

// A program with a server of its own: what is said in a room of the gateway's, everybody in it
// hears.
func ExampleServer() {
	gw, err := gateway.New(gateway.Options{MaxMessage: 64 << 10}, slog.New(slog.DiscardHandler))
	if err != nil {
		log.Fatal(err)
	}
	go gw.Serve(context.Background()) // runs the event loops
	defer gw.Close()

	mux := http.NewServeMux()
	mux.Handle("/ws/", gw) // /ws/{room}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	defer server.Close()

	ctx := context.Background()
	var clients []*websocket.Conn
	for range 2 {
		c, _, err := websocket.Dial(ctx, "ws://"+listener.Addr().String()+"/ws/tea", nil)
		if err != nil {
			log.Fatal(err)
		}
		defer c.CloseNow()
		clients = append(clients, c)
	}
	if err := clients[0].Write(ctx, websocket.MessageText, []byte("the kettle boils")); err != nil {
		log.Fatal(err)
	}
	for i, c := range clients {
		_, text, err := c.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("client %d: %s\n", i, text)
	}
	fmt.Println("open:", gw.Open())
	// Output:
	// client 0: the kettle boils
	// client 1: the kettle boils
	// open: 2
}

// A program outside this module, that only knows it as a dependency, is built from what the module
// cache has, and serves.
func TestProgramOutsideTheModule(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyFile(t, filepath.Join("testdata", "embed", "main.go"), filepath.Join(dir, "main.go"))
	copyFile(t, filepath.Join(root, "go.sum"), filepath.Join(dir, "go.sum"))
	goMod := fmt.Sprintf("module example.test/embed\n\ngo 1.26.0\n\nrequire sluice v0.0.0\n\nreplace sluice => %q\n", root)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(goMod), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	build := exec.CommandContext(soon(t), "go", "build", "-ldflags=-s -w", "-o", program, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}

	cmd := exec.CommandContext(soon(t), program)
	var logged bytes.Buffer
	cmd.Stderr = &logged
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	var addr string
	if _, err := fmt.Fscanln(stdout, &addr); err != nil {
		t.Fatalf("its address: %v", err)
	}
	r, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if r.StatusCode != http.StatusOK {
		t.Errorf("its page: %s", r.Status)
	}
	a, b := dial(t, "ws://"+addr+"/ws/tea"), dial(t, "ws://"+addr+"/ws/tea")
	say(t, a, "hello")
	hear(t, a, "hello")
	hear(t, b, "hello")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*websocket.Conn{a, b} {
		if _, _, err := c.Read(soon(t)); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("read ended with %v, want close 1001", err)
		}
	}
	err = cmd.Wait()
	ended = true
	if err != nil {
		t.Errorf("it ends with %v:\n%s", err, logged.String())
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	p, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, p, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The program of docs/embedding.md is the one that is built above: what it shows stands there, line
// for line.
func TestDocumentShowsTheProgramThatIsTested(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "docs", "embedding.md"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join("testdata", "embed", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(document), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("docs/embedding.md shows no program")
	}
	for _, block := range blocks {
		shown, _, _ := strings.Cut(block, "```")
		var indented strings.Builder // in main
		for line := range strings.Lines(shown) {
			if line != "\n" {
				indented.WriteByte('\t')
			}
			indented.WriteString(line)
		}
		if !strings.Contains(string(program), indented.String()) {
			t.Errorf("the program lacks what docs/embedding.md shows of it:\n%s", shown)
		}
	}
}
