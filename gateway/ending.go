package gateway

import (
	"errors"
	"unicode/utf8"

	"sluice/wsproto"
)

// A Farewell is what a client is told that an operator or a backend disconnects.
type Farewell struct {
	Code   int    // of the Close frame, 3000 to 4999; zero: 4012
	Reason string // UTF-8, at most 123 bytes; with Code zero: a word of ours
}

// ErrFarewell is of a Farewell that cannot be sent.
var ErrFarewell = errors.New("a close code must be 3000 to 4999, and its reason UTF-8 of at most 123 bytes")

// farewellReasonMax is what fits into a control frame behind the code (RFC 6455 §5.5).
const farewellReasonMax = wsproto.MaxControlPayload - 2

func (f *Farewell) check() error {
	isCode := f.Code == 0 || f.Code >= 3000 && f.Code <= 4999
	if !isCode || len(f.Reason) > farewellReasonMax || !utf8.ValidString(f.Reason) {
		return ErrFarewell
	}
	return nil
}

// An ending is what is to be done to which clients: to all of which what is named is true.
type ending struct {
	Client        string `json:"client,omitempty"`
	Subject       string `json:"subject,omitempty"`
	Room          string `json:"room,omitempty"`
	IsUnsubscribe bool   `json:"unsubscribe,omitempty"` // they leave the room alone
	Farewell
}
