package cluster

import (
	"encoding/binary"
	"errors"

	"sluice/hub"
)

// A pack is one message of the stream: several of a room, in their order, or none (purge.go).
//
//	version 1 · count 2 · messages
//
// and each of these
//
//	kind 1 · time 8 · sender, id and payload, each with its length before it as a varint
//
// A newer version, of which there will be at most fifteen, may look different behind its first
// byte.
const (
	packVersion  = 1
	versionMax   = 15 // what begins with more is no pack at all
	packHead     = 3
	messageHead  = 9
	packMessages = 1024     // at most, and what a sequence is multiplied by in an offset
	packBytes    = 64 << 10 // at most, unless it is one message that is larger
)

// Errors of decode.
var (
	errVersion = errors.New("cluster: a pack of an unknown version")
	errGarbage = errors.New("cluster: this is no pack")
)

// offsetOf is the position of a pack's message. Sequences up to 2^43 give numbers that JavaScript
// has exactly.
func offsetOf(seq uint64, index int) uint64 { return seq*packMessages + uint64(index) }

// endOf is behind all that a sequence may have, and before all of the next one.
func endOf(seq uint64) uint64 { return offsetOf(seq, packMessages-1) }

// sizeOf is what a message takes in a pack, at most.
func sizeOf(s *hub.Source) int {
	return messageHead + 3*binary.MaxVarintLen32 + len(s.Sender) + len(s.ID) + len(s.Payload)
}

// appendMessage adds a message to a pack's body, which is begun if it is empty.
func appendMessage(body []byte, s *hub.Source) []byte {
	if len(body) == 0 {
		body = append(body, packVersion, 0, 0)
	}
	binary.BigEndian.PutUint16(body[1:], binary.BigEndian.Uint16(body[1:])+1)
	body = append(body, s.Kind)
	body = binary.BigEndian.AppendUint64(body, uint64(s.Time))
	body = append(binary.AppendUvarint(body, uint64(len(s.Sender))), s.Sender...)
	body = append(binary.AppendUvarint(body, uint64(len(s.ID))), s.ID...)
	return append(binary.AppendUvarint(body, uint64(len(s.Payload))), s.Payload...)
}

// decode appends a pack's messages to list, their offsets set. The payloads are the pack's bytes.
// Of a pack that is not whole it appends nothing.
func decode(list []hub.Source, seq uint64, body []byte) ([]hub.Source, error) {
	if len(body) > 0 && body[0] > packVersion && body[0] <= versionMax {
		return list, errVersion
	}
	if len(body) < packHead || body[0] != packVersion {
		return list, errGarbage
	}
	n := int(binary.BigEndian.Uint16(body[1:]))
	rest, begun := body[packHead:], len(list)
	if n > packMessages {
		return list, errGarbage
	}
	for i := range n {
		s := hub.Source{Offset: offsetOf(seq, i)}
		var ok bool
		if rest, ok = takeMessage(rest, &s); !ok {
			return list[:begun], errGarbage
		}
		list = append(list, s)
	}
	if len(rest) > 0 {
		return list[:begun], errGarbage
	}
	return list, nil
}

// takeMessage reads one message and returns what is behind it.
func takeMessage(p []byte, s *hub.Source) (rest []byte, ok bool) {
	if len(p) < messageHead {
		return nil, false
	}
	s.Kind, s.Time = p[0], int64(binary.BigEndian.Uint64(p[1:]))
	sender, p, ok1 := takeBytes(p[messageHead:])
	id, p, ok2 := takeBytes(p)
	payload, p, ok3 := takeBytes(p)
	s.Sender, s.ID, s.Payload = string(sender), string(id), payload
	return p, ok1 && ok2 && ok3
}

func takeBytes(p []byte) (b, rest []byte, ok bool) {
	n, width := binary.Uvarint(p)
	if width <= 0 || n > uint64(len(p)-width) {
		return nil, nil, false
	}
	p = p[width:]
	return p[:n:n], p[n:], true
}
