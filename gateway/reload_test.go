package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/testenv"
)

func TestD07_ReloadChangesWhatItCanAndNamesTheRest(t *testing.T) {
	o := gateway.Options{Loops: 2, MaxMessage: 10, MaxConnections: 3}
	s := newServer(t, o)
	url := "ws://" + listen(t, s) + "/ws/a"
	serve(t, s)
	join := func(header http.Header) (status int) {
		t.Helper()
		c, r, err := websocket.Dial(soon(t), url, &websocket.DialOptions{HTTPHeader: header})
		if err == nil {
			t.Cleanup(func() { c.CloseNow() })
		} else if r == nil { // A client that is turned away at a limit may see a reset instead of the answer.
			return 0
		}
		return r.StatusCode
	}
	page := http.Header{"Origin": {"https://page.example"}}
	there := dial(t, url)
	if got := join(page); got != 403 {
		t.Fatalf("a page that is not listed got %d", got)
	}

	o.AllowOrigin = []string{"https://page.example"}
	o.MaxMessage = 20
	o.Rooms = []gateway.RoomRule{{Pattern: "a", HasPolicy: true, Policy: hub.Latest}}
	o.Loops, o.RoomBacklog, o.SocketMode = 5, 8<<20, 0o600
	needs, err := s.Reload(o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Loops", "SocketMode", "RoomBacklog"}; !slices.Equal(needs, want) {
		t.Errorf("only a restart changes %v, want %v", needs, want)
	}
	if got := join(page); got != 101 {
		t.Errorf("a page that is listed now got %d", got)
	}
	say(t, there, "more than ten")
	hear(t, there, "more than ten")

	// A limit of connections that are there already is for those to come.
	o.MaxConnections = 1
	if _, err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	if got := join(page); got != 503 && got != 0 {
		t.Errorf("one beyond the new limit got %d", got)
	}
	say(t, there, "still here")
	hear(t, there, "still here")

	// The other way round, and a rate that counts at once for who is there.
	if needs, err = s.Reload(gateway.Options{Loops: 2, FrameRate: 1, MaxMessage: 10}); err != nil || needs != nil {
		t.Fatalf("%v, %v", needs, err)
	}
	if got := join(page); got != 403 {
		t.Errorf("a page that is not listed any more got %d", got)
	}
	for range 10 {
		if err := there.Write(soon(t), websocket.MessageText, []byte("x")); err != nil {
			break
		}
	}
	for {
		if _, _, err = there.Read(soon(t)); err != nil {
			break
		}
	}
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("over the new rate it ended with %v, want 1008", err)
	}
}

func TestD07_ReloadThatFailsChangesNothing(t *testing.T) {
	o := gateway.Options{Loops: 1, MaxMessage: 10, RoomBacklog: 1 << 20}
	s := newServer(t, o)
	url := "ws://" + listen(t, s) + "/ws"
	serve(t, s)
	c := dial(t, url)
	for name, bad := range map[string]gateway.Options{
		"MaxMessage":  {Loops: 1, MaxMessage: 1 << 40},
		"AllowOrigin": {Loops: 1, MaxMessage: 20, AllowOrigin: []string{"no origin"}},
		"RoomBacklog can only change with a restart":    {Loops: 1, MaxMessage: 2 << 20, RoomBacklog: 8 << 20},
		"Options.RoomBacklog: 1048576 is not more than": {Loops: 1, MaxMessage: 2 << 20, RoomBacklog: 8 << 20},
	} {
		needs, err := s.Reload(bad)
		if err == nil || needs != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, needs, err)
		}
	}
	say(t, c, "0123456789")
	hear(t, c, "0123456789")
	say(t, c, "0123456789a")
	if _, _, err := c.Read(soon(t)); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("beyond the old limit it ended with %v, want 1009", err)
	}
}

func TestReloadBeforeServeAndAfterClose(t *testing.T) {
	o := gateway.Options{Loops: 2, MaxMessage: 10}
	s := newServer(t, o)
	url := "ws://" + listen(t, s) + "/ws"
	o.MaxMessage, o.MaxConnections = 20, 1<<21
	if needs, err := s.Reload(o); err != nil || !slices.Equal(needs, []string{"MaxConnections"}) {
		t.Errorf("%v, %v; want MaxConnections, of which the loops have no room for so many", needs, err)
	}
	serve(t, s)
	c := dial(t, url)
	say(t, c, "more than ten")
	hear(t, c, "more than ten")
	s.Close()
	if _, err := s.Reload(o); !errors.Is(err, gateway.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Options change again and again while clients talk, come and go: everybody hears everything.
func TestD07_ReloadsDisturbNobody(t *testing.T) {
	turns := 20
	if testenv.IsWholeSize(t) {
		turns = 300
	}
	o := gateway.Options{Loops: 2}
	s := newServer(t, o)
	url := "ws://" + listen(t, s) + "/ws/"
	serve(t, s)
	done := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := 0; ; n++ {
				c, _, err := websocket.Dial(soon(t), fmt.Sprint(url, i), nil)
				if err != nil {
					t.Errorf("client %d, visit %d: %v", i, n, err)
					return
				}
				for k := range 20 {
					text := fmt.Sprintf("%d %d %d", i, n, k)
					if err := c.Write(soon(t), websocket.MessageText, []byte(text)); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
					if _, p, err := c.Read(soon(t)); err != nil || string(p) != text {
						t.Errorf("client %d heard %q, %v; want %q", i, p, err, text)
						c.CloseNow()
						return
					}
				}
				c.CloseNow()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for turn := range turns {
		next := o
		if turn%2 == 0 {
			next.MaxRooms, next.ConnectRate, next.MaxPerAddress, next.CompressMin = 100, 1000, 1000, 10
			next.AllowHost, next.TrustedProxy, next.NoCompression = []string{"*"}, nil, true
			next.Rooms = []gateway.RoomRule{{Pattern: "*", HasPolicy: true, Policy: hub.Skip, Plain: true}}
			next.MessageRate, next.ByteRate, next.FrameRate, next.PingRate = 1<<20, 1<<30, 1<<20, 1<<20
			next.AssemblyMemory, next.HeadMemory, next.PingInterval = 1<<30, 1<<30, time.Minute
		}
		if needs, err := s.Reload(next); err != nil || needs != nil {
			t.Fatalf("%v, %v", needs, err)
		}
	}
	close(done)
	clients.Wait()
	if st := statsOf(t, s); st.Broken != 0 || st.Panics != 0 {
		t.Errorf("%d invariants broken, %d panics", st.Broken, st.Panics)
	}
}
