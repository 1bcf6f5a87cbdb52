// Package centrifuge speaks the client's side of the Centrifuge protocol in JSON, as far as a load test
// needs it: frames of objects with a line end between them (github.com/centrifugal/protocol). It shares
// nothing with package gateway/centrifuge, which it judges.
package centrifuge

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A Reply is what a server sends beside publications.
type Reply struct {
	ID        uint32     `json:"id"`
	Error     *Error     `json:"error"`
	Connect   *Connect   `json:"connect"`
	Subscribe *Subscribe `json:"subscribe"`
	Push      *Push      `json:"push"`
}

// An Error is why a command was not carried out.
type Error struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

// Connect says what is asked of the connection.
type Connect struct {
	Pong bool `json:"pong"` // pings are to be answered
}

// Subscribe says where in its room a subscription begins.
type Subscribe struct {
	Recoverable   bool          `json:"recoverable"`
	Recovered     bool          `json:"recovered"`
	WasRecovering bool          `json:"was_recovering"`
	Epoch         string        `json:"epoch"`
	Offset        uint64        `json:"offset"`
	Publications  []Publication `json:"publications"` // that were missed, behind Offset
}

// A Push is what comes unasked. The kinds that are not here are of no interest.
type Push struct {
	Channel     string       `json:"channel"`
	Pub         *Publication `json:"pub"`
	Unsubscribe *Ending      `json:"unsubscribe"`
	Disconnect  *Ending      `json:"disconnect"`
}

// An Ending is of a subscription or of a connection.
type Ending struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// A Publication is a message of a room. Offset is zero where the room counts none.
type Publication struct {
	Data   json.RawMessage `json:"data"`
	Offset uint64          `json:"offset"`
}

// Text is the text that the data is a string of, and the data itself where it is something else.
func Text(data []byte) []byte {
	if len(data) < 2 || data[0] != '"' {
		return data
	}
	if bytes.IndexByte(data, '\\') < 0 {
		return data[1 : len(data)-1]
	}
	var s string
	if json.Unmarshal(data, &s) != nil {
		return data
	}
	return []byte(s)
}

// Pong answers a ping, which is the same.
const Pong = "{}"

// IsPing says that an object of a frame is a ping.
func IsPing(object []byte) bool { return string(object) == Pong }

// AppendConnect appends the first command of a connection.
func AppendConnect(dst []byte, id uint32) []byte {
	return append(appendHead(dst, id, "connect"), `{"name":"loadtest"}}`...)
}

// A Place is where a subscription that is made anew goes on.
type Place struct {
	Epoch  string
	Offset uint64
}

// AppendSubscribe appends a command that subscribes to a room, which needs no escapes: behind from, or
// at the room's end if that is nil.
func AppendSubscribe(dst []byte, id uint32, room string, from *Place) []byte {
	dst = append(append(append(appendHead(dst, id, "subscribe"), `{"channel":"`...), room...), '"')
	if from != nil {
		epoch, _ := json.Marshal(from.Epoch) // It can fail for no string.
		dst = append(append(dst, `,"recover":true,"epoch":`...), epoch...)
		dst = strconv.AppendUint(append(dst, `,"offset":`...), from.Offset, 10)
	}
	return append(dst, "}}"...)
}

// AppendPublish appends a command that publishes a text, which needs no escapes either.
func AppendPublish(dst []byte, id uint32, room string, text []byte) []byte {
	dst = append(append(appendHead(dst, id, "publish"), `{"channel":"`...), room...)
	dst = append(append(dst, `","data":"`...), text...)
	return append(dst, `"}}`...)
}

func appendHead(dst []byte, id uint32, method string) []byte {
	dst = strconv.AppendUint(append(dst, `{"id":`...), uint64(id), 10)
	return append(append(append(dst, `,"`...), method...), `":`...)
}

// Next cuts the first object off a frame. Object is empty at its end.
func Next(frame []byte) (object, rest []byte) {
	for len(frame) > 0 {
		object, rest, _ = bytes.Cut(frame, lineEnd)
		if object = bytes.TrimSpace(object); len(object) > 0 {
			return object, rest
		}
		frame = rest
	}
	return nil, nil
}

var lineEnd = []byte("\n")
