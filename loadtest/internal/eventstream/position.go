package eventstream

import "bytes"

// A Position is what an id of the form epoch:offset says: behind which message of which stream its
// reader stands.
type Position struct {
	Epoch  []byte
	Offset uint64
}

// ParsePosition reads an id. Its Epoch is a part of it.
func ParsePosition(id []byte) (p Position, isPosition bool) {
	colon := bytes.LastIndexByte(id, ':')
	digits := id[colon+1:]
	if colon < 1 || len(digits) == 0 {
		return Position{}, false
	}
	p.Epoch = id[:colon]
	for _, b := range digits {
		next := p.Offset*10 + uint64(b-'0')
		if b < '0' || b > '9' || p.Offset > 1<<60 { // Times ten it fits still.
			return Position{}, false
		}
		p.Offset = next
	}
	return p, true
}
