package conformance

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// keeping are options with rooms that keep so many messages.
func keeping(messages int) gateway.Options {
	o := gatewaytest.Options()
	o.History = []gateway.HistoryRule{{Pattern: "kept*", Messages: messages, Bytes: 8 << 20}}
	return o.Defaults()
}

// publishAll publishes messages that are their numbers, from until to.
func publishAll(t *testing.T, s *gateway.Server, room string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := s.Publish(room, gateway.Message{Data: []byte(strconv.Itoa(i))}); err != nil {
			t.Fatal(err)
		}
	}
}

func resumeAt(id string) string { return "Last-Event-ID: " + id }

// expectNumbers reads messages that are their numbers, and returns their ids.
func expectNumbers(e *wstest.Events, from, to int) (ids []string) {
	e.T.Helper()
	for i := from; i < to; i++ {
		ids = append(ids, e.Expect("message", strconv.Itoa(i)).ID)
	}
	return ids
}

// S05. A client that comes back with the id of any message gets exactly what followed it, by the
// header or by the address, before what is published from then on. Ids grow, are all of one length,
// and tell the same position to everybody.
func TestS05_EventsGoOnBehindTheLastOne(t *testing.T) {
	const messages = 40
	s, addr := gatewaytest.Start(t, keeping(1000))
	first := wstest.Listen(t, addr, "/sse/kept")
	publishAll(t, s, "kept", 0, messages)
	ids := expectNumbers(first, 0, messages)
	for i := 1; i < messages; i++ {
		if len(ids[i]) != len(ids[0]) || ids[i] <= ids[i-1] || ids[i][:9] != ids[0][:9] {
			t.Fatalf("id %q follows %q", ids[i], ids[i-1])
		}
	}
	var all []*wstest.Events
	for i, id := range ids {
		path, lines := "/sse/kept", []string{resumeAt(id)}
		if i%2 == 1 {
			path, lines = "/sse/kept?last=5&since="+id, nil
		}
		e := wstest.Listen(t, addr, path, lines...)
		for j, again := range expectNumbers(e, i+1, messages) {
			if again != ids[i+1+j] {
				t.Errorf("message %d has the id %q, and had %q", i+1+j, again, ids[i+1+j])
			}
		}
		all = append(all, e)
	}
	publishAll(t, s, "kept", messages, messages+1)
	for _, e := range append(all, first) {
		expectNumbers(e, messages, messages+1)
	}
	if st := testenv.StatsOf(t, s); st.Hub.Joined[hub.Recovered] != messages {
		t.Errorf("joined: %v", st.Hub.Joined)
	}
}

// A reader that has had no message yet has an id to come back with.
func TestEventsHaveAnIDBeforeTheFirst(t *testing.T) {
	s, addr := gatewaytest.Start(t, keeping(10))
	publishAll(t, s, "kept", 0, 3)
	e := wstest.Listen(t, addr, "/sse/kept")
	publishAll(t, s, "kept", 3, 4)
	id := expectNumbers(e, 3, 4)[0]
	again := wstest.Listen(t, addr, "/sse/kept")
	publishAll(t, s, "kept", 4, 5)
	_, offset, _ := strings.Cut(id, ":")
	n, err := strconv.Atoi(offset)
	if err != nil {
		t.Fatal(err)
	}
	early := fmt.Sprintf("%s:%020d", id[:8], n) // What again was told at its beginning.
	expectNumbers(wstest.Listen(t, addr, "/sse/kept", resumeAt(early)), 4, 5)
	expectNumbers(again, 4, 5)
}

// S07, S08. An id that nobody can go on from is answered with a reset before anything else: with
// the reason, and the id from which the stream goes on, which is the end. What is published behind
// that comes.
func TestS07_S08_EventsThatCannotBeRecovered(t *testing.T) {
	const kept, messages = 5, 100
	o := keeping(kept)
	s, addr := gatewaytest.Start(t, o)
	other, otherAddr := gatewaytest.Start(t, o)
	e, stranger := wstest.Listen(t, addr, "/sse/kept"), wstest.Listen(t, otherAddr, "/sse/kept")
	publishAll(t, s, "kept", 0, messages)
	publishAll(t, other, "kept", 0, 1)
	ids, foreign := expectNumbers(e, 0, messages), expectNumbers(stranger, 0, 1)[0]
	epoch, last := ids[0][:8], ids[messages-1]
	next := messages
	for _, tc := range []struct{ id, reason string }{
		{foreign, "epoch"},
		{"abcdefgh:1", "epoch"},
		{ids[10], "too_old"},
		{epoch + ":0", "too_old"},
		{epoch + ":1000", "beyond_end"},
		{epoch + ":18446744073709551615", "beyond_end"},
		{epoch + ":18446744073709551616", "no_position"},
		{epoch + ":-1", "no_position"},
		{epoch + ":", "no_position"},
		{epoch, "no_position"},
		{"text", "no_position"},
		{"7", "no_position"},
		{"\"><script>", "no_position"},
		{":5", "no_position"},
	} {
		for _, isHeader := range []bool{true, false} {
			path, lines := "/sse/kept", []string{resumeAt(tc.id)}
			if !isHeader {
				path, lines = "/sse/kept?since="+strings.NewReplacer(`"`, "%22", ">", "%3E", "<", "%3C").Replace(tc.id), nil
			}
			e := wstest.Listen(t, addr, path, lines...)
			got := e.Expect("reset", fmt.Sprintf(`{"reason":%q,"position":%q}`, tc.reason, last))
			if got.ID != last {
				t.Errorf("%q: the id is %q, want %q", tc.id, got.ID, last)
			}
			publishAll(t, s, "kept", next, next+1)
			last = expectNumbers(e, next, next+1)[0]
			next++
			e.Close()
		}
	}
	if joined := testenv.StatsOf(t, s).Hub.Joined; joined[hub.WrongEpoch] != 20 || joined[hub.TooOld] != 4 || joined[hub.BeyondEnd] != 4 {
		t.Errorf("joined: %v", joined)
	}
	// Nothing is kept: there is no id to come back with.
	e = wstest.Listen(t, addr, "/sse/other", resumeAt(last))
	if got := e.Expect("reset", `{"reason":"no_history"}`); got.ID != "" {
		t.Errorf("the id is %q", got.ID)
	}
}

// What is kept comes first, if it is asked for.
func TestEventsBeginWithTheLast(t *testing.T) {
	s, addr := gatewaytest.Start(t, keeping(10))
	publishAll(t, s, "kept", 0, 4)
	if _, err := s.Publish("kept", gateway.Message{Data: []byte{1, 2}, IsBinary: true}); err != nil {
		t.Fatal(err)
	}
	for path, from := range map[string]int{"/sse/kept?last=all": 0, "/sse/kept?last=3": 2, "/sse/kept?last=1000": 0, "/sse/kept?last=1": 4} {
		e := wstest.Listen(t, addr, path)
		expectNumbers(e, from, 4)
		e.Expect("binary", "AQI=")
	}
	for _, path := range []string{"/sse/kept?last=-1", "/sse/kept?last=x", "/sse/kept?last=1&last=2"} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.PlainGet(path))
		c.ExpectRefusal(http.StatusBadRequest)
	}
	none := wstest.Listen(t, addr, "/sse/other?last=5") // It keeps nothing, and nothing is missed.
	publishAll(t, s, "other", 7, 8)
	expectNumbers(none, 7, 8)
}

// A client that may not hear what was said before is refused if it asks, and told if its browser
// comes back by itself.
func TestEventsOfThePastTakeLeave(t *testing.T) {
	o := keeping(10)
	o.Anonymous = []gateway.Grant{{Rooms: []string{"*"}, May: gateway.Read}}
	s, addr := gatewaytest.Start(t, o)
	publishAll(t, s, "kept", 0, 4)
	for _, path := range []string{"/sse/kept?last=1", "/sse/kept?last=all", "/sse/kept?since=abcdefgh:1"} {
		if r := askAs(t, addr, "GET", path); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	e := wstest.Listen(t, addr, "/sse/kept", resumeAt("abcdefgh:00000000000000000001"))
	if got, err := e.Next(); err != nil || got.Type != "reset" || !strings.HasPrefix(got.Data, `{"reason":"not_allowed","position":`) {
		t.Errorf("%+v, %v", got, err)
	}
	publishAll(t, s, "kept", 4, 5)
	expectNumbers(e, 4, 5)
}

// A comeback is a reader that is cut again and again and comes back with its last id, as a browser
// does. It holds what it gets against the numbers that were published: each exactly once and in
// order, or a reset that says so.
type comeback struct {
	t      *testing.T
	addr   func() string
	path   string
	random *rand.Rand
	id     string
	next   int // the number that is to come
	resets int
	cuts   int
}

// visit reads until that many bytes of the body have come, or events, and cuts the connection
// there.
func (c *comeback) visit(bytes int64, events, last int) {
	var lines []string
	if c.id != "" {
		lines = []string{resumeAt(c.id)}
	}
	conn, err := net.Dial("tcp", c.addr())
	if err != nil {
		return // It restarts.
	}
	defer conn.Close()
	if c.random.IntN(2) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0) // RST instead of FIN.
	}
	_ = conn.SetDeadline(time.Now().Add(testenv.Patience))
	if _, err := conn.Write(wstest.PlainGet(c.path, lines...)); err != nil {
		return
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		return
	}
	body := io.Reader(r.Body)
	if bytes > 0 {
		body = io.LimitReader(body, bytes)
	}
	c.cuts++
	e := wstest.ReadEvents(body)
	for n := 0; events == 0 || n < events; n++ {
		got, err := e.Next()
		if e.LastID() != "" {
			c.id = e.LastID()
		}
		if err != nil {
			return
		}
		switch got.Type {
		case "message":
			n, err := strconv.Atoi(got.Data)
			if err != nil || n < c.next || n > c.next && c.resets == 0 {
				c.t.Errorf("%d was to come, and %q did (%s); %d resets", c.next, got.Data, got.ID, c.resets)
			}
			c.next = n + 1
			if c.next == last {
				return
			}
		case "reset":
			c.resets++
		case "close":
			return
		default:
			c.t.Errorf("%+v", got)
		}
	}
}

// Readers are cut at every event's end and at random bytes, with RST and FIN, while messages are
// published. Each gets every message exactly once, in order.
func TestS05_CutReadersOfEventsMissNothing(t *testing.T) {
	messages, readers := 2000, 4
	if testenv.IsWholeSize(t) {
		messages, readers = 20_000, 16
	}
	s, addr := gatewaytest.Start(t, keeping(0))
	done := make(chan error, readers)
	for i := range readers {
		go func() {
			c := &comeback{t: t, addr: func() string { return addr }, path: "/sse/kept?last=all", random: rand.New(rand.NewPCG(1, uint64(i)))}
			for c.next < messages && !t.Failed() {
				bytes, events := int64(1+c.random.IntN(20_000)), 0
				if i%2 == 0 {
					bytes, events = 0, 1+c.random.IntN(1+messages/20)
				}
				c.visit(bytes, events, messages)
			}
			if c.resets > 0 || c.cuts < 3 {
				done <- fmt.Errorf("reader %d: %d resets, %d cuts", i, c.resets, c.cuts)
				return
			}
			done <- nil
		}()
	}
	for i := range messages {
		if _, err := s.Publish("kept", gateway.Message{Data: []byte(strconv.Itoa(i))}); err != nil {
			t.Error(err)
		}
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // Or all is there before anybody has come back.
		}
	}
	for range readers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// S07. The gateway is restarted while readers are there: each comes back, is told, and has from
// there on what is published, once.
func TestS07_RestartIsToldToReadersOfEvents(t *testing.T) {
	const before, after = 50, 50
	var addr atomic.Value
	s, first := gatewaytest.Start(t, keeping(0))
	addr.Store(first)
	c := &comeback{t: t, addr: func() string { return addr.Load().(string) }, path: "/sse/kept?last=all", random: rand.New(rand.NewPCG(1, 2))}
	publishAll(t, s, "kept", 0, before)
	c.visit(0, before/2, before)
	c.visit(0, 0, before)
	s.Close()
	s, second := gatewaytest.Start(t, keeping(0))
	addr.Store(second)
	publishAll(t, s, "kept", 1000, 1010) // Nobody is there; it is of another epoch.
	done := make(chan struct{})
	go func() { defer close(done); c.visit(0, 0, 2000+after) }()
	testenv.Eventually(t, "it is back", func() bool {
		r, ok := s.Room("kept")
		return ok && r.Members == 1
	})
	publishAll(t, s, "kept", 2000, 2000+after)
	<-done
	if c.resets != 1 || c.next != 2000+after {
		t.Errorf("%d resets, and %d is next", c.resets, c.next)
	}
}

// Readers that are cut off all at once while messages are published, and come back, have each
// message once. What they missed is encoded for none of them anew: it lies in the log.
func TestS05_CrowdOfReadersComesBack(t *testing.T) {
	readers := 100
	if testenv.IsWholeSize(t) {
		readers = 2000
	}
	const before, meanwhile, after = 20, 200, 20
	s, addr := gatewaytest.Start(t, keeping(0))
	crowd := make([]*comeback, readers)
	for i := range crowd {
		crowd[i] = &comeback{t: t, addr: func() string { return addr }, path: "/sse/kept?last=all", random: rand.New(rand.NewPCG(3, uint64(i)))}
	}
	visit := func(last int) {
		var all sync.WaitGroup
		for _, c := range crowd {
			all.Go(func() { c.visit(0, 0, last) })
		}
		all.Wait()
	}
	built := func() uint64 {
		state, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return state.Histories.Built
	}
	publishAll(t, s, "kept", 0, before)
	visit(before)
	was := built()
	testenv.Eventually(t, "all are gone", func() bool { return s.Open() == 0 })
	publishAll(t, s, "kept", before, before+meanwhile)
	done := make(chan struct{})
	go func() { defer close(done); visit(before + meanwhile + after) }()
	publishAll(t, s, "kept", before+meanwhile, before+meanwhile+after)
	<-done
	for i, c := range crowd {
		if c.next != before+meanwhile+after || c.resets > 0 {
			t.Errorf("reader %d: %d is next, %d resets", i, c.next, c.resets)
		}
	}
	if n := built(); n != was {
		t.Errorf("%d encodings were built anew", n-was)
	}
}
