// Package centrifuge speaks the client's side of the Centrifuge protocol, as far as a load test
// needs it, in both of its formats (github.com/centrifugal/protocol). It shares nothing with
// package gateway/centrifuge, which it judges.
package centrifuge

import (
	"bytes"
	"encoding/json"
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
	Code        uint32 `json:"code"`
	Message     string `json:"message"`
	IsTemporary bool   `json:"temporary"` // a later try may succeed
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

// A Place is where a subscription that is made anew goes on.
type Place struct {
	Epoch  string
	Offset uint64
}
