package hub

import "fmt"

// EncodingsMax is how many encodings a hub can have.
const EncodingsMax = 8

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

// A Frame is bytes that go on the wire, in two parts so that a payload need not be copied behind
// its header.
type Frame struct{ Head, Payload []byte }

func (f *Frame) len() int { return len(f.Head) + len(f.Payload) }

// An Encoder makes the frames of one message.
type Encoder interface {
	// Encode returns the message's frame in an encoding: an empty one if the encoding's substitute
	// is to stand in. It is called at most once for each encoding, without any lock. The bytes must
	// stay as they are until Publish returns.
	Encode(e Encoding) Frame
}
