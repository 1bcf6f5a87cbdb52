//go:build unix

package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/natstest"
	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// launchMember starts a gateway that shares its rooms by a broker.
func launchMember(t *testing.T, broker string, more ...string) *proctest.Process {
	t.Helper()
	p := proctest.Launch(t, proctest.LastingCommand(t, 4*testenv.Patience, append([]string{
		"--listen=127.0.0.1:0", "--loops=1", "--cluster=" + broker, "--cluster-messages=100000", "--history=kept*=messages:100000,bytes:64MiB",
	}, more...)...))
	testenv.Eventually(t, "a gateway has its stream", func() bool {
		c := wstest.Connect(t, p.Addr)
		defer c.Close()
		c.Send(wstest.PlainGet("/readyz"))
		r, _ := c.Response()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// A gateway is killed with all its clients, and publishers. They go on at another one that follows
// the same rooms, or at one that has yet to open them: each gets every message once, in the order
// of all.
func TestB17_GatewayIsKilledWithItsClients(t *testing.T) {
	t.Parallel()
	clients, messages := 20, 150
	if testenv.IsWholeSize(t) {
		clients, messages = 200, 1500
	}
	const rooms = 10
	broker := natstest.Start(t).ClientURL()
	killed, warm, cold := launchMember(t, broker), launchMember(t, broker), launchMember(t, broker)

	var heard sync.WaitGroup
	ready, begun := make(chan struct{}, clients), make(chan struct{}, clients)
	results := make([]map[string]int, clients) // the last number of each publisher
	orders := make([][]string, clients)
	for i := range clients {
		to := []string{warm.Addr, cold.Addr}[i/rooms%2]
		heard.Go(func() {
			l := listener{room: fmt.Sprint("kept", i%rooms), at: []string{killed.Addr, to}, ready: ready, begun: begun, end: messages - 1}
			if err := l.listen(); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			if l.begun != nil { // It is waited for all the same.
				l.begun <- struct{}{}
			}
			results[i], orders[i] = l.last, l.order
		})
	}
	for range clients {
		<-ready
	}
	var speak sync.WaitGroup
	isKilled := make(chan struct{})
	for room := range rooms {
		path := fmt.Sprintf("/ws/kept%d?echo=0", room)
		lost, stays := wstest.Dial(t, killed.Addr, path), wstest.Dial(t, warm.Addr, path)
		speak.Go(func() { // It ends with its gateway.
			for n := 0; speakUp(lost, "lost", n) == nil; n++ {
				time.Sleep(10 * time.Millisecond)
			}
		})
		speak.Go(func() {
			for n := range messages {
				if err := speakUp(stays, "stays", n); err != nil {
					t.Error(err)
					return
				}
				if room == 0 && n == messages/3 {
					close(isKilled)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	<-isKilled
	for range clients { // A client that has heard nothing has no place to go on from.
		<-begun
	}
	killed.Signal(syscall.SIGKILL)
	speak.Wait()
	heard.Wait()
	for i := range clients { // All of a room have heard the same, the end of who was killed included.
		if first := i % rooms; fmt.Sprint(orders[i]) != fmt.Sprint(orders[first]) {
			t.Errorf("clients %d and %d of one room have heard different orders, of %v and %v", i, first, results[i], results[first])
		}
	}
}

// Clients go from gateway to gateway, of two and of three, while a thousand messages a second are
// published at one of them.
func TestB18_ClientsHopWhileMessagesFlow(t *testing.T) {
	t.Parallel()
	messages, every := 1500, 70
	if testenv.IsWholeSize(t) {
		messages, every = 20_000, 700
	}
	broker := natstest.Start(t).ClientURL()
	var at []string
	for range 3 {
		at = append(at, launchMember(t, broker).Addr)
	}
	var heard sync.WaitGroup
	ready := make(chan struct{}, 6)
	for i := range 6 {
		l := listener{room: "kept", every: every + i, ready: ready, end: messages - 1}
		for n := range messages / every * 2 {
			l.at = append(l.at, at[(i+n)%(2+i%2)])
		}
		heard.Go(func() {
			if err := l.listen(); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	for range 6 {
		<-ready
	}
	c := wstest.Dial(t, at[0], "/ws/kept?echo=0")
	began := time.Now()
	for n := range messages {
		if err := speakUp(c, "stays", n); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Millisecond)))
	}
	heard.Wait()
}

func speakUp(c *websocket.Conn, who string, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
	defer cancel()
	return c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%s %d", who, n))
}

// A listener reads a room's events, and goes on elsewhere when they end.
type listener struct {
	room  string
	at    []string        // gateways, one after the other; the last one again and again
	every int             // messages, behind which it goes to the next one; 0: when there is an end
	ready chan<- struct{} // it listens
	begun chan<- struct{} // it has heard a message
	end   int             // number of the last message of who stays

	id    string
	last  map[string]int
	order []string
}

func (l *listener) listen() error {
	l.last = map[string]int{"lost": -1, "stays": -1}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 4 * testenv.Patience}
	for ends := time.Now().Add(4 * testenv.Patience); time.Now().Before(ends); {
		isOver, err := l.hear(client)
		if isOver || err != nil {
			return err
		}
		if len(l.at) > 1 {
			l.at = l.at[1:]
		}
	}
	return fmt.Errorf("there is no end behind %v", l.last)
}

// hear reads one stream of events. It is no error if that ends.
func (l *listener) hear(client *http.Client) (isOver bool, err error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+l.at[0]+"/sse/"+l.room, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept", "text/event-stream")
	if l.id != "" {
		r.Header.Set("Last-Event-ID", l.id)
	}
	answer, err := client.Do(r)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%s", answer.Status)
	}
	events := wstest.ReadEvents(answer.Body)
	if l.ready != nil {
		l.ready <- struct{}{}
		l.ready = nil
	}
	for n := 0; l.every == 0 || n < l.every; n++ {
		e, err := events.Next()
		if err != nil {
			return false, nil
		}
		if e.Type != "message" {
			return false, fmt.Errorf("behind %v came %+v", l.last, e)
		}
		if err := l.take(e.Data); err != nil {
			return false, err
		}
		if l.begun != nil {
			l.begun <- struct{}{}
			l.begun = nil
		}
		if l.id = e.ID; l.last["stays"] == l.end {
			return true, nil
		}
	}
	return false, nil
}

func (l *listener) take(text string) error {
	who, number, _ := strings.Cut(text, " ")
	last, ok := l.last[who]
	if !ok || number != fmt.Sprint(last+1) {
		return fmt.Errorf("behind %v came %q", l.last, text)
	}
	l.last[who]++
	l.order = append(l.order, text)
	return nil
}
