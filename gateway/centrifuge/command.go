package centrifuge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"
	"google.golang.org/protobuf/encoding/protowire"
)

// CommandMax bounds a command, in bytes, unless it is one of those that carry data and little else:
// publish, send and rpc. Others can become some eighty times as large in memory, as a filter of
// many empty nodes does.
const CommandMax = 128 << 10

// Errors of NextCommand.
var (
	errEmpty    = errors.New("there is no command")
	errTooLarge = fmt.Errorf("a command of more than %d bytes does not publish", CommandMax)
	errID       = errors.New("a command has no id")
	errMethod   = errors.New("a command has no method that is known")
	errLength   = errors.New("a command's length is not that of its bytes")
)

// NextCommand decodes the first command of a frame, and returns what is behind it: nothing, at the
// frame's end. The command keeps nothing of frame. If it has several methods, the first in the
// order of protocol.Command's fields counts. Any error is the end of the connection
// (CloseBadRequest). In JSON a frame may end with a line feed, and lines with CR LF; blank lines
// are errors.
func (f Format) NextCommand(frame []byte) (c *protocol.Command, rest []byte, err error) {
	if len(frame) == 0 {
		return nil, nil, errEmpty
	}
	if f == JSON {
		line, rest, _ := bytes.Cut(frame, []byte{'\n'})
		c, err = decodeJSON(line)
		return c, rest, err
	}
	size, n := binary.Uvarint(frame)
	if n <= 0 || size > uint64(len(frame)-n) {
		return nil, nil, errLength
	}
	c, err = decodeProtobuf(frame[n : n+int(size)])
	return c, frame[n+int(size):], err
}

// IsPong reports whether a command is the answer to a ping: it has no id and no method.
func IsPong(c *protocol.Command) bool { return c.Id == 0 && !hasMethod(c) }

func decodeJSON(line []byte) (*protocol.Command, error) {
	if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' {
		return nil, errEmpty // An empty line, or null, which would pass for a pong.
	}
	c := new(protocol.Command)
	var decoder cfjson.Decoder = c
	isLarge := len(line) > CommandMax
	if isLarge {
		decoder = (*dataCommand)(c)
	}
	// Strings may lie in the bytes that are decoded, and the caller's are used again.
	if err := cfjson.Unmarshal(bytes.Clone(line), decoder, 0); err != nil {
		return nil, fmt.Errorf("not a command: %w", err)
	}
	if isLarge && !hasMethod(c) {
		return nil, errTooLarge
	}
	return c, check(c)
}

func decodeProtobuf(message []byte) (*protocol.Command, error) {
	if len(message) > CommandMax && !hasOnlyData(message) {
		return nil, errTooLarge
	}
	c := new(protocol.Command)
	if err := c.UnmarshalCF(message); err != nil {
		return nil, fmt.Errorf("not a command: %w", err)
	}
	return c, check(c)
}

// hasOnlyData reports whether a command in protobuf has no methods but those that carry data.
func hasOnlyData(message []byte) bool {
	for len(message) > 0 {
		field, _, n := protowire.ConsumeField(message)
		if n < 0 {
			return false
		}
		switch field { // of protocol.Command
		case 1, 7, 12, 13: // id, publish, send, rpc
		default:
			return false
		}
		message = message[n:]
	}
	return true
}

// check refuses a command that nobody could answer: only pongs and send have no id.
func check(c *protocol.Command) error {
	switch {
	case IsPong(c):
	case !hasMethod(c):
		return errMethod
	case c.Id == 0 && c.Send == nil:
		return errID
	}
	return nil
}

func hasMethod(c *protocol.Command) bool {
	return c.Connect != nil || c.Subscribe != nil || c.Unsubscribe != nil || c.Publish != nil ||
		c.Presence != nil || c.PresenceStats != nil || c.History != nil || c.Ping != nil ||
		c.Send != nil || c.Rpc != nil || c.Refresh != nil || c.SubRefresh != nil
}
