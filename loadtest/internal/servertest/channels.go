package servertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/gorilla/websocket"
)

// Channels are a Server's rooms in the Centrifuge protocol, all messages of which it keeps. Its
// functions are called under the server's lock.
type Channels struct {
	IsProtobuf bool // it speaks protobuf instead of JSON

	Epoch     string                                                      // empty: there are no positions
	Refuse    func(conn int, room string) bool                            // answers a subscribe with 103
	Close     func(conn int) int                                          // closes with this code instead of answering a connect; 0: answers
	HoldUntil int                                                         // how many messages a room has to have before anybody who recovers is answered
	Begin     func(asked, end int) (from int, isRecovered bool)           // where one who recovers goes on; nil: where it asked
	Mangle    func(conn int, room string, number int, push string) string // what conn gets instead of a push; nil: the push
	Pings     bool                                                        // pings behind every message: see Owed

	more  *sync.Cond
	rooms map[string]*channel
	waits map[int]int // by connection: pings that were not answered
}

type channel struct {
	kept    []json.RawMessage
	members map[int]int // by connection: the number of the message to come next, from 0
}

// obey carries out a frame of commands. The server has the lock.
func (s *Server) obey(conn int, frame []byte) {
	v := s.Channels
	if v.rooms == nil {
		v.rooms, v.waits, v.more = make(map[string]*channel), make(map[int]int), sync.NewCond(&s.mu)
	}
	for next := v.commands(frame); ; {
		c, err := next()
		if c == nil {
			if !errors.Is(err, io.EOF) {
				s.Drop(conn)
			}
			return
		}
		switch {
		case c.Connect != nil && v.Close != nil && v.Close(conn) != 0:
			s.close(conn, v.Close(conn))
			return
		case c.Connect != nil:
			s.say(conn, fmt.Sprintf(`{"id":%d,"connect":{"client":"c%d","ping":25,"pong":true}}`, c.Id, conn))
		case c.Subscribe != nil:
			s.subscribe(conn, c)
		case c.Publish != nil:
			s.say(conn, fmt.Sprintf(`{"id":%d,"publish":{}}`, c.Id))
			s.publish(c.Publish.Channel, v.value(c.Publish.Data))
		default:
			v.waits[conn]--
		}
		if errors.Is(err, io.EOF) { // It comes with the last one.
			return
		}
	}
}

func (s *Server) close(conn, code int) {
	_ = s.Conns[conn].WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "later"), time.Now().Add(time.Minute))
	s.Drop(conn)
}

// commands reads a frame by the protocol's own decoders.
func (v *Channels) commands(frame []byte) (next func() (*protocol.Command, error)) {
	if v.IsProtobuf {
		return protocol.NewProtobufCommandDecoder(frame).Decode
	}
	return protocol.NewJSONCommandDecoder(frame).Decode
}

// value is published data as JSON, which it is in that format alone.
func (v *Channels) value(data []byte) json.RawMessage {
	if !v.IsProtobuf {
		return json.RawMessage(data)
	}
	value, _ := json.Marshal(string(data))
	return value
}

// say sends lines of JSON, in protobuf if that is spoken. What is no reply goes out as it is, in a
// message of the right kind.
func (s *Server) say(conn int, lines string) {
	c := s.Conns[conn]
	if c == nil {
		return
	}
	if !s.Channels.IsProtobuf {
		_ = c.WriteMessage(websocket.TextMessage, []byte(lines))
		return
	}
	e := protocol.NewProtobufDataEncoder()
	for line := range strings.Lines(lines) {
		r, err := protocol.NewJSONReplyDecoder([]byte(line)).Decode()
		if err != nil {
			_ = c.WriteMessage(websocket.BinaryMessage, []byte(line))
			return
		}
		body, err := protocol.NewProtobufReplyEncoder().Encode(r)
		if err == nil {
			err = e.Encode(body)
		}
		if err != nil {
			panic(err)
		}
	}
	_ = c.WriteMessage(websocket.BinaryMessage, e.Finish())
}

func (v *Channels) room(name string) *channel {
	r := v.rooms[name]
	if r == nil {
		r = &channel{members: make(map[int]int)}
		v.rooms[name] = r
	}
	return r
}

func (s *Server) subscribe(conn int, c *protocol.Command) {
	v, ask := s.Channels, c.Subscribe
	if v.Refuse != nil && v.Refuse(conn, ask.Channel) {
		s.say(conn, fmt.Sprintf(`{"id":%d,"error":{"code":103,"message":"permission denied"}}`, c.Id))
		return
	}
	r := v.room(ask.Channel)
	at, more := len(r.kept), ""
	if ask.Recover {
		for len(r.kept) < v.HoldUntil && s.Conns[conn] != nil {
			v.more.Wait()
		}
		isRecovered := true
		if at = int(ask.Offset); v.Begin != nil {
			at, isRecovered = v.Begin(at, len(r.kept))
		}
		more = fmt.Sprintf(`,"was_recovering":true,"recovered":%v`, isRecovered)
	}
	if v.Epoch != "" {
		more += fmt.Sprintf(`,"recoverable":true,"positioned":true,"epoch":%q,"offset":%d`, v.Epoch, at)
	}
	if more != "" {
		more = more[1:]
	}
	s.say(conn, fmt.Sprintf(`{"id":%d,"subscribe":{%s}}`, c.Id, more))
	r.members[conn] = at
	s.deliver(ask.Channel, conn)
}

func (s *Server) publish(room string, data json.RawMessage) {
	s.next()
	v := s.Channels
	r := v.room(room)
	r.kept = append(r.kept, data)
	v.more.Broadcast()
	for conn := range r.members {
		s.deliver(room, conn)
		if v.Pings {
			s.ping(conn)
		}
	}
}

func (s *Server) ping(conn int) {
	s.Channels.waits[conn]++
	s.say(conn, "{}")
}

// Owed is how many pings of them all the connection has not answered that has answered least. It
// says something once all have ended: before that answers may be on their way, and how many depends
// on how fast this server reads.
func (s *Server) Owed() (most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.Channels.waits {
		most = max(most, n)
	}
	return most
}

// deliver sends what a connection has not got of a room.
func (s *Server) deliver(room string, conn int) {
	v := s.Channels
	r := v.room(room)
	for ; r.members[conn] < len(r.kept); r.members[conn]++ {
		number := r.members[conn]
		more := ""
		if v.Epoch != "" {
			more = fmt.Sprintf(`,"offset":%d`, number+1)
		}
		push := fmt.Sprintf(`{"push":{"channel":%q,"pub":{"data":%s%s}}}`, room, r.kept[number], more)
		if v.Mangle != nil {
			push = v.Mangle(conn, room, number, push)
		}
		if push != "" {
			s.say(conn, push)
		}
		if strings.Contains(push, `"unsubscribe"`) {
			delete(r.members, conn)
			return
		}
	}
}
