package sse

import "encoding/json"

// A Reset says that the stream goes on somewhere else than behind what its client has last got.
type Reset struct {
	Reason   string `json:"reason"`             // why, in one word
	Position string `json:"position,omitempty"` // behind which it goes on, as an id; empty where there are none
	Missed   uint64 `json:"missed,omitempty"`   // messages in between, if that is known
}

// AppendReset appends the event of the type "reset". Its id is the position, so that a client that
// comes back goes on from there.
func AppendReset(dst []byte, r Reset) []byte {
	dst = append(dst, "event: reset\n"...)
	if r.Position != "" {
		dst = append(append(append(dst, "id: "...), r.Position...), '\n')
	}
	data, _ := json.Marshal(r) // It can fail for nothing that is in it.
	dst = append(append(dst, dataField...), data...)
	return append(dst, "\n\n"...)
}
