package wstest

import (
	"context"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
)

// Dial opens a WebSocket with an independent client.
func Dial(t testing.TB, addr, path string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+addr+path, &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// ExpectText reads one text message, which is to be this one.
func ExpectText(t testing.TB, c *websocket.Conn, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	kind, p, err := c.Read(ctx)
	if err != nil || kind != websocket.MessageText || string(p) != want {
		t.Fatalf("got %v %q, %v; want text %q", kind, Clip(string(p)), err, want)
	}
}
