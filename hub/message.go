package hub

import (
	"fmt"
	"math/bits"
	"time"
)

// EncodingsMax is how many encodings a hub can have.
const EncodingsMax = 8

// An Encoding is one way to put messages on the wire: an index into the list that the hub was made with.
type Encoding uint8

// An EncodingInfo describes an Encoding.
type EncodingInfo struct {
	Name string
	// HasSubstitute says that the frames of Substitute may stand in for those of this encoding: where an
	// Encoder makes none, and where the first reader comes while a message is on its way into the log.
	HasSubstitute bool
	Substitute    Encoding
}

// checkEncodings refuses a list that no hub can have.
func checkEncodings(list []EncodingInfo) error {
	if len(list) == 0 || len(list) > EncodingsMax {
		return fmt.Errorf("hub: %d encodings, want 1 to %d", len(list), EncodingsMax)
	}
	for i, info := range list {
		if s := int(info.Substitute); info.HasSubstitute && (s == i || s >= len(list) || list[s].HasSubstitute) {
			return fmt.Errorf("hub: encoding %s has a substitute that is not there or has one itself", info.Name)
		}
	}
	return nil
}

// A Frame is bytes that go on the wire, in two parts so that a payload need not be copied behind its header.
type Frame struct{ Head, Payload []byte }

func (f *Frame) len() int { return len(f.Head) + len(f.Payload) }

// An Encoder makes the frames of one message.
type Encoder interface {
	// Encode returns the message's frame in an encoding: an empty one if the encoding's substitute is to
	// stand in. It is called at most once for each encoding, without any lock. The bytes must stay as
	// they are until Publish returns.
	Encode(e Encoding) Frame
}

// A draft is a message on its way into a log: in the encodings that the room uses, as far as it can be
// had before the room's lock is taken.
type draft struct {
	has    uint8 // a bit for each encoding that frames has
	frames [EncodingsMax]Frame
	own    [EncodingsMax]*ownSegment // for large frames, which lie there already
}

// encode adds what the draft lacks of the wanted encodings.
func (d *draft) encode(h *Hub, m Encoder, wanted uint8) {
	for set := wanted &^ d.has; set != 0; set &= set - 1 {
		e := Encoding(bits.TrailingZeros8(set))
		d.frames[e] = m.Encode(e)
		d.has |= 1 << e
		if d.frames[e].len() > 0 {
			continue
		}
		info := h.encodings[e]
		if !info.HasSubstitute {
			panic(fmt.Sprintf("hub: no frame in encoding %q, which has no substitute", info.Name))
		}
		if d.has&(1<<info.Substitute) == 0 {
			d.frames[info.Substitute] = m.Encode(info.Substitute)
			d.has |= 1 << info.Substitute
		}
		d.frames[e] = d.frames[info.Substitute]
	}
}

// substitute fills in for encodings that were opened meanwhile, and returns those that have to be encoded.
func (d *draft) substitute(h *Hub, open uint8) (lacking uint8) {
	lacking = open &^ d.has
	for set := lacking; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		if info := h.encodings[e]; info.HasSubstitute && d.has&(1<<info.Substitute) != 0 {
			d.frames[e] = d.frames[info.Substitute]
			d.has |= 1 << e
			lacking &^= 1 << e
		}
	}
	return lacking
}

// ownSegments writes each large frame of the wanted encodings into a segment of its own.
func (d *draft) ownSegments(largeFrom int, wanted uint8, now time.Duration) {
	for set := wanted; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		if f := &d.frames[e]; f.len() >= largeFrom && d.own[e] == nil {
			d.own[e] = newOwnSegment(f, now)
		}
	}
}
