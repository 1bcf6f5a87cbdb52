package gateway

import (
	"errors"
	"fmt"

	"sluice/wsproto"
)

// A Message is what a program publishes.
type Message struct {
	Data     []byte // not to be changed before the call that publishes it returns
	IsBinary bool   // otherwise it is text, which has to be UTF-8
	// Key makes a Cluster publish the message once, whichever of its gateways gets it again within
	// two minutes. Empty, or without a Cluster: each counts.
	Key string
}

func (m *Message) message() message {
	op := wsproto.OpText
	if m.IsBinary {
		op = wsproto.OpBinary
	}
	return message{Message: wsproto.Message{Op: op, Payload: m.Data}}
}

// Errors of Publish and Send.
var (
	ErrRoomName     = fmt.Errorf("this is not a room name: it is 1 to %d of A-Z a-z 0-9 _ . : ~ - and not . or .. alone", roomNameMax)
	ErrNotUTF8      = errors.New("the text is not UTF-8, and every browser in the room would close its connection")
	ErrTooLarge     = errors.New("the message is larger than --max-message")
	ErrRoomFull     = errors.New("the room is full: most of its clients have yet to take what was published before")
	ErrMemory       = errors.New("the rooms take as much memory as they may until their clients have taken some")
	ErrTooManyRooms = errors.New("there is no such room, and nobody could join it: there are as many as --max-rooms allows")
	ErrFault        = errors.New("a fault of the gateway's own: it is in the log")
)
