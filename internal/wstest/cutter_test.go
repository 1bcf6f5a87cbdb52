package wstest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// talker sends the frames "0", "1", "22", "333", … to 9, as coder/websocket writes them, and waits
// for the end.
func talker(t *testing.T) (addr string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // It has answered what is no upgrade.
		}
		defer c.CloseNow()
		for i := range 10 {
			if c.Write(r.Context(), websocket.MessageText, []byte(strings.Repeat(string(rune('0'+i)), max(1, i)))) != nil {
				return
			}
		}
		_, _, _ = c.Read(r.Context())
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// Each connection ends by a reset behind the frame, or the byte, that was said, and the one behind
// those does not end.
func TestCutterCutsWhereItWasTold(t *testing.T) {
	t.Parallel()
	var cuts []Cut
	for frames := range 10 {
		cuts = append(cuts, Cut{Frames: frames + 1})
	}
	c := NewCutter(t, talker(t), cuts...)
	for frames := 1; frames <= 11; frames++ {
		conn := Dial(t, c.Addr(), "/")
		for i := range min(frames, 10) {
			ExpectText(t, conn, strings.Repeat(string(rune('0'+i)), max(1, i)))
		}
		if frames > 10 {
			break
		}
		if _, _, err := conn.Read(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("behind %d frames: %v, want a reset", frames, err)
		}
		<-c.WasCut(frames - 1)
	}
}

func TestCutterCutsAtAByte(t *testing.T) {
	t.Parallel()
	c := NewCutter(t, talker(t), Cut{Down: 7}, Cut{Up: 3})
	for _, want := range []string{"HTTP/1.", ""} {
		conn, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		got, err := io.ReadAll(conn)
		if string(got) != want || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q, %v; want %q and a reset", got, err, want)
		}
	}
}

// Connections without leave wait, then go where they are led by then; a still one gets nothing.
func TestCutterKeepsWaitingAndStill(t *testing.T) {
	t.Parallel()
	c := NewCutter(t, "127.0.0.1:1")
	c.Admit(0)
	conn, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	c.Still(true)
	c.Lead(talker(t))
	c.Admit(1)
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("%d bytes, %v, of a still connection", n, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	c.Still(false)
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Error(err)
	}
	if c.Came() != 1 {
		t.Errorf("%d connections came", c.Came())
	}
}

// A connection that says nothing is not the first one: that is the client's.
func TestCutterCountsWhoSpeaks(t *testing.T) {
	t.Parallel()
	c := NewCutter(t, talker(t), Cut{Frames: 1})
	c.Admit(1)
	for range 2 {
		silent, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	conn := Dial(t, c.Addr(), "/")
	ExpectText(t, conn, "0")
	<-c.WasCut(0)
	if c.Came() != 1 {
		t.Errorf("%d connections came", c.Came())
	}
}

// What ends before it has said a byte has no number either, and the Cutter's end finds it gone.
func TestCutterForgetsWhoLeavesWithoutAWord(t *testing.T) {
	t.Parallel()
	c := NewCutter(t, talker(t), Cut{Frames: 1})
	gone, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	ExpectText(t, Dial(t, c.Addr(), "/"), "0")
	<-c.WasCut(0)
}
