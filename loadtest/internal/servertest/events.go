package servertest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Events are a Server's messages for readers of server-sent events, all of which it keeps. They
// come by net/http, and so in chunks. Its functions are called under the server's lock.
type Events struct {
	Epoch     string                                                // empty: there are no ids
	Refuse    func(reader int) bool                                 // answers 404
	Busy      func(reader int) bool                                 // answers 503
	HoldUntil int                                                   // how many messages there have to be before anybody who returns is answered
	Begin     func(reader, asked, end int) (from int, event string) // where one who returns goes on, and what it is told first; nil: where it asked
	Mangle    func(reader, message int, event string) string        // what reader gets instead of an event; nil: the event
	HangUp    func(reader, message int) bool                        // ends the stream instead of delivering

	more    *sync.Cond
	readers int
	places  map[int]int // of open streams: the message that is sent next; -1 before they have begun
	kept    []kept
}

type kept struct {
	data     string
	isBinary bool
}

// keep adds a message. The server has the lock.
func (v *Events) keep(kind int, p []byte) {
	one := kept{data: string(p)}
	if kind == websocket.BinaryMessage {
		one = kept{base64.StdEncoding.EncodeToString(p), true}
	}
	v.kept = append(v.kept, one)
	if v.more != nil {
		v.more.Broadcast()
	}
}

// ID is the id of the message with this number, from 1.
func (v *Events) ID(number int) string { return fmt.Sprintf("%s:%020d", v.Epoch, number) }

// event is the message with this number, from 0.
func (v *Events) event(number int) (event string) {
	one := v.kept[number]
	if v.Epoch != "" {
		event = "id: " + v.ID(number+1) + "\n"
	}
	if one.isBinary {
		event += "event: binary\n"
	}
	return event + "data: " + one.data + "\n\n"
}

// serveEvents is one stream.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	v := s.Events
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.more == nil {
		v.more = sync.NewCond(&s.mu)
	}
	reader := v.readers
	v.readers++
	if v.places == nil {
		v.places = make(map[int]int)
	}
	v.places[reader] = -1
	defer delete(v.places, reader)
	if v.Refuse != nil && v.Refuse(reader) {
		http.Error(w, "no", http.StatusNotFound)
		return
	}
	go func() { // Its end is the request's.
		<-r.Context().Done()
		s.mu.Lock()
		v.more.Broadcast()
		s.mu.Unlock()
	}()
	if v.Busy != nil && v.Busy(reader) {
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	at, first := v.begin(r, reader)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	flush := http.NewResponseController(w).Flush
	send := func(text string) bool {
		s.mu.Unlock()
		defer s.mu.Lock()
		_, err := w.Write([]byte(text))
		return err == nil && flush() == nil
	}
	for isOpen := send("retry: 10\n" + first); isOpen; {
		v.places[reader] = at
		for at >= len(v.kept) && r.Context().Err() == nil {
			v.more.Wait()
		}
		if r.Context().Err() != nil || v.HangUp != nil && v.HangUp(reader, at) {
			return
		}
		event := v.event(at)
		if v.Mangle != nil {
			event = v.Mangle(reader, at, event)
		}
		at++
		isOpen = send(event)
	}
}

// AwaitStreams holds the message that is about to be broadcast until all open streams have been
// sent what came before the one with this number, or begin behind it. It is for Before, and lets go
// of the lock meanwhile.
func (s *Server) AwaitStreams(t testing.TB, number int) {
	for end := time.Now().Add(patience); s.Events.isAnyBefore(number); {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		if time.Now().After(end) {
			t.Errorf("message %d was not sent on all streams: %v", number, s.Events.places)
			return
		}
	}
}

func (v *Events) isAnyBefore(number int) bool {
	for _, at := range v.places {
		if at < number {
			return true
		}
	}
	return false
}

// begin is with which message a stream begins, and what comes before that.
func (v *Events) begin(r *http.Request, reader int) (at int, first string) {
	_, digits, isReturn := strings.Cut(r.Header.Get("Last-Event-ID"), ":")
	asked, err := strconv.Atoi(digits)
	if !isReturn || err != nil {
		at = len(v.kept)
	} else {
		for len(v.kept) < v.HoldUntil && r.Context().Err() == nil {
			v.more.Wait()
		}
		at = asked
		if v.Begin != nil {
			at, first = v.Begin(reader, asked, len(v.kept))
		}
	}
	if v.Epoch != "" && first == "" {
		first = "id: " + v.ID(at) + "\n\n"
	}
	return at, first
}
