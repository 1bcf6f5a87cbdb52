// Package peers holds servers to compare with. Its test sees that each of them does what the
// comparison takes for granted.
package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// commands are the servers, each with its flags.
var commands = [][]string{{"gorilla"}, {"gws"}, {"nbio"}, {"nbio", "--blocking"}, {"gobwas"}}

const patience = 10 * time.Second // for anything that a test waits for

func TestEachPeerRelaysToARoomUnchangedInOneOrder(t *testing.T) {
	bin := build(t)
	for _, command := range commands {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			addr := start(t, filepath.Join(bin, command[0]), command[1:]...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			a, b := dial(ctx, t, addr), dial(ctx, t, addr)
			meet(ctx, t, a, b)

			exchange(ctx, t, a, b, websocket.MessageText, []byte("grüß dich"))
			exchange(ctx, t, b, a, websocket.MessageBinary, []byte{0, 1, 0xfe, 0xff})
			if command[0] != "nbio" { // nbio 1.6.8 does not tell its user of empty messages.
				exchange(ctx, t, a, b, websocket.MessageText, nil)
			}
			for _, size := range []int{125, 126, 65535, 65536, 1 << 20} {
				exchange(ctx, t, b, a, websocket.MessageBinary, bytes.Repeat([]byte{'x'}, size))
			}
			sameOrder(ctx, t, a, b)

			c, d := dialAt(ctx, t, addr, "/ws/another"), dialAt(ctx, t, addr, "/ws/another")
			meet(ctx, t, c, d)
			exchange(ctx, t, a, b, websocket.MessageText, []byte("here"))
			exchange(ctx, t, d, c, websocket.MessageText, []byte("there"))
		})
	}
}

// A client does not read while 32 MB are published. The others get every message, and what
// README.md says becomes of it.
func TestOneWhoDoesNotReadIsClosedOrKeptAndNeverStopsTheOthers(t *testing.T) {
	const size, count = 64 << 10, 512
	bin := build(t)
	for _, command := range commands {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			addr := start(t, filepath.Join(bin, command[0]), command[1:]...)
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			stalled := dialStalled(ctx, t, addr)
			a, b := dial(ctx, t, addr), dial(ctx, t, addr)
			meet(ctx, t, a, b)
			payload := bytes.Repeat([]byte{'x'}, size)
			for range count {
				exchange(ctx, t, a, b, websocket.MessageBinary, payload)
			}

			heard, err := 0, error(nil)
			for heard < count && err == nil {
				var got []byte
				if _, got, err = stalled.Read(ctx); len(got) == size {
					heard++
				}
			}
			switch isKept := command[0] == "gws"; {
			case ctx.Err() != nil:
				t.Errorf("neither closed nor served after %d of %d messages", heard, count)
			case isKept && err != nil:
				t.Errorf("closed after %d of %d messages: %v", heard, count, err)
			case !isKept && err == nil:
				t.Errorf("kept, with all of %d messages", count)
			}
		})
	}
}

// build compiles all servers and returns where they are.
func build(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("ends the servers with a signal, which Windows does not have")
	}
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// start runs a server until the test ends, sees it end well, and returns its address.
func start(t *testing.T, program string, flags ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(program, append(flags, "--listen", addr)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", program, err)
		}
	}
}

func dial(ctx context.Context, t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	return dialAt(ctx, t, addr, "/ws")
}

func dialAt(ctx context.Context, t *testing.T, addr, path string) *websocket.Conn {
	t.Helper()
	return dialWith(ctx, t, addr+path, http.DefaultClient)
}

func dialWith(ctx context.Context, t *testing.T, where string, client *http.Client) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, "ws://"+where, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(4 << 20)
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// dialStalled returns a client whose kernel takes little on its behalf while it does not read.
func dialStalled(ctx context.Context, t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	limited := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	return dialWith(ctx, t, addr+"/ws", &http.Client{Transport: &http.Transport{DialContext: limited}})
}

// meet returns when both are members of the room: some libraries let a client in only a moment
// after they greeted it. Each has then heard the same last message.
func meet(ctx context.Context, t *testing.T, a, b *websocket.Conn) {
	t.Helper()
	say := func(c *websocket.Conn, word string) {
		if err := c.Write(ctx, websocket.MessageText, []byte(word)); err != nil {
			t.Fatal(err)
		}
		for {
			if _, got := read(ctx, t, c); string(got) == word {
				return
			}
		}
	}
	say(a, "a is there")
	say(b, "b is there")
	say(a, "now both are") // b reads it, too; what came before it is of no interest.
	for {
		if _, got := read(ctx, t, b); string(got) == "now both are" {
			return
		}
	}
}

func read(ctx context.Context, t *testing.T, c *websocket.Conn) (websocket.MessageType, []byte) {
	t.Helper()
	kind, data, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return kind, data
}

// exchange lets one client say something, and both hear it.
func exchange(ctx context.Context, t *testing.T, from, to *websocket.Conn, kind websocket.MessageType, data []byte) {
	t.Helper()
	if err := from.Write(ctx, kind, data); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*websocket.Conn{from, to} {
		if k, got := read(ctx, t, c); k != kind || !bytes.Equal(got, data) {
			t.Fatalf("got %v of %d bytes, want %v of %d", k, len(got), kind, len(data))
		}
	}
}

// sameOrder lets both speak at once, and compares what they hear.
func sameOrder(ctx context.Context, t *testing.T, a, b *websocket.Conn) {
	t.Helper()
	const each = 100 // less than what gorilla's queues hold
	speak := func(c *websocket.Conn, name string) chan error {
		done := make(chan error, 1)
		go func() {
			for i := range each {
				if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%s%d", name, i)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		return done
	}
	doneA, doneB := speak(a, "a"), speak(b, "b")
	var heard [2][]string
	for i, c := range []*websocket.Conn{a, b} {
		for range 2 * each {
			_, got := read(ctx, t, c)
			heard[i] = append(heard[i], string(got))
		}
	}
	for _, done := range []chan error{doneA, doneB} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(heard[0], heard[1]) {
		t.Errorf("two clients heard the same room in different orders:\n%v\n%v", heard[0], heard[1])
	}
}
