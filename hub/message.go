package hub

import "fmt"

// EncodingsMax is how many encodings a hub can have.
const EncodingsMax = 7

// tracksMax is how many tracks a log can have: one for each encoding, and its source track.
const tracksMax = EncodingsMax + 1

// An Encoding is one way to put messages on the wire: an index into the list that the hub was made
// with.
type Encoding uint8

// An EncodingInfo describes an Encoding.
type EncodingInfo struct {
	Name string
	// HasSubstitute says that the frames of Substitute may stand in for those of this encoding:
	// where an Encoder makes none, and where the first reader comes while a message is on its way
	// into the log.
	HasSubstitute bool
	Substitute    Encoding
	// PositionWidth is how many bytes frames have for their messages' positions, which are known
	// only when those have their places in the log: none if it is zero. PutPosition writes one
	// there, under the room's lock. Without an epoch the room has no history, and the message no
	// position.
	PositionWidth int
	PutPosition   func(place []byte, p Position)
	// IsBundled says that whoever reads this encoding is a Reader of a Bundle, and no others are.
	IsBundled bool
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
		if info.HasSubstitute && list[info.Substitute].PositionWidth != info.PositionWidth {
			return fmt.Errorf("hub: encoding %s has another place for positions than its substitute", info.Name)
		}
		if info.PositionWidth < 0 || info.PositionWidth > 0 && info.PutPosition == nil {
			return fmt.Errorf("hub: encoding %s has a place for positions, and nothing that writes them", info.Name)
		}
	}
	return nil
}

// A Frame is bytes that go on the wire, in two parts so that a payload need not be copied behind
// its header.
type Frame struct {
	Head, Payload []byte
	// PositionAt is where in Head the place for the position begins, if the encoding has one; zero:
	// this frame has none. Head is written to there, and must be this message's alone.
	PositionAt int
}

func (f *Frame) len() int { return len(f.Head) + len(f.Payload) }

// An Encoder makes the frames of one message.
type Encoder interface {
	// Encode returns the message's frame in an encoding: an empty one if the encoding's substitute
	// is to stand in. It is called at most once for each encoding, without any lock. The bytes must
	// stay as they are until Publish returns.
	Encode(e Encoding) Frame
}
