package sse

import "encoding/json"

// A Reset says that the stream goes on somewhere else than behind what its client has last got.
type Reset struct {
	Reason   string `json:"reason"`             // why, in one word
	Position string `json:"position,omitempty"` // behind which it goes on, as an id; empty where there are none
	Missed   uint64 `json:"missed,omitempty"`   // messages in between, if that is known
}

// AppendReset appends the event of the type "reset". Its id is the position, so that a client that
// comes back goes on from there; without one it is empty, and a client forgets the one that it had.
func AppendReset(dst []byte, r Reset) []byte {
	dst = append(dst, "event: reset\n"...)
	dst = append(append(append(dst, idField...), r.Position...), '\n')
	data, _ := json.Marshal(r) // It can fail for nothing that is in it.
	dst = append(append(dst, dataField...), data...)
	return append(dst, "\n\n"...)
}

// AppendStart appends where a stream begins, as a Reset does, but makes no event: a client that has
// got none yet has an id to come back with. A client may forget the id that it came with at the
// first empty line of a stream, so this one is behind nothing.
func AppendStart(dst []byte, position string) []byte {
	if position != "" {
		dst = append(append(append(dst, idField...), position...), '\n')
	}
	return append(dst, '\n')
}
