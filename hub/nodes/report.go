package nodes

import (
	"encoding/json"

	"sluice/hub"
)

// noteVersion is that of the notes between nodes. A note of another one is counted and not read.
const noteVersion = 1

const (
	// everyone is the subject that all nodes listen to; a node's own is toOne and its id.
	everyone = "sluice.node.all"
	toOne    = "sluice.node.to."

	// partBytes is about how large one part of a report is: an own turn for who reads it, and below
	// every broker's limit.
	partBytes = 32 << 10
)

// A note is what one node says to others, in JSON: one thing at a time.
type note struct {
	Version  int       `json:"v"`
	From     string    `json:"from"`
	Report   *report   `json:"report,omitempty"`
	Resend   bool      `json:"resend,omitempty"` // all of the receiver's rooms are wanted again
	Question *question `json:"ask,omitempty"`
	Answer   *answer   `json:"answer,omitempty"`
	Tell     *telling  `json:"tell,omitempty"`
	Leaves   bool      `json:"leaves,omitempty"`
}

// A question is put to all other nodes; each answers to the node that asks.
type question struct {
	ID   uint64          `json:"id"`
	What json.RawMessage `json:"what"`
}

// An answer is to one question; without What its node cannot say.
type answer struct {
	ID   uint64          `json:"id"`
	What json.RawMessage `json:"what,omitempty"`
}

// A telling is what a node tells all others, who do not answer.
type telling struct {
	What json.RawMessage `json:"what"`
}

// A report is how a node's rooms stand, or a part of it: all rooms, or those that have changed
// since the report before. A node that misses a number asks for all.
type report struct {
	Number uint64           `json:"n"` // 1, 2 … in the order of sending
	Part   int              `json:"part,omitempty"`
	IsLast bool             `json:"last,omitempty"` // of the parts that are all rooms; zero parts: of changes
	About  *about           `json:"about,omitempty"`
	Rooms  map[string]tally `json:"rooms,omitempty"` // without members: it has none any more
}

// about is a hub.NodeInfo on its way.
type about struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Address     string `json:"address"`
	Connections int    `json:"connections"`
	Rooms       int    `json:"rooms"`
	Members     int    `json:"members"`
	UptimeMS    int64  `json:"uptime_ms"`
}

// A tally is a hub.Tally on its way.
type tally struct {
	Members int      `json:"m"`
	Users   int      `json:"u,omitempty"`
	Keys    []uint64 `json:"k,omitempty"`
}

// parts cuts rooms into pieces of about partBytes, one at least.
func parts(rooms map[string]hub.Tally) (all []map[string]tally) {
	part, size := map[string]tally{}, 0
	for name, t := range rooms {
		part[name] = tally(t)
		if size += len(name) + 32 + 21*len(t.Keys); size >= partBytes {
			all = append(all, part)
			part, size = map[string]tally{}, 0
		}
	}
	if len(part) > 0 || len(all) == 0 {
		all = append(all, part)
	}
	return all
}

// pack encodes a note.
func (n *note) pack() []byte {
	n.Version = noteVersion
	p, _ := json.Marshal(n) // Of such a type it cannot fail, but for a question or an answer that is no JSON.
	return p
}

// unpack takes a note apart that came from anybody who may write to its subject.
func unpack(p []byte) (n note, ok bool) {
	if json.Unmarshal(p, &n) != nil || n.Version != noteVersion || n.From == "" || len(n.From) > idMax {
		return n, false
	}
	if r := n.Report; r != nil {
		for name, t := range r.Rooms {
			if name == "" || len(name) > roomMax || t.Members < 0 || t.Users < 0 || len(t.Keys) > t.Users || len(t.Keys) > hub.TallyKeysMax {
				return n, false
			}
		}
		if a := r.About; a != nil && (len(a.Name) > textMax || len(a.Version) > textMax || len(a.Address) > textMax) {
			return n, false
		}
	}
	return n, true
}

const (
	idMax   = 64
	textMax = 255
	roomMax = 128
)
