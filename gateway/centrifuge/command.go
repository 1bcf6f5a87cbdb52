package centrifuge

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
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
	errUTF8     = errors.New("a command is not UTF-8")
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
	if len(line) > CommandMax {
		return decodeLargeJSON(line)
	}
	// The decoder's strings lie in the bytes that it is given, and the caller's are used again.
	c, err := protocol.NewJSONCommandDecoder(bytes.Clone(line)).Decode()
	if c == nil {
		return nil, fmt.Errorf("not a command: %w", err)
	}
	return c, check(c)
}

// decodeLargeJSON knows no methods but those that carry data: others are ignored, and so cost
// nothing.
func decodeLargeJSON(line []byte) (*protocol.Command, error) {
	var large struct {
		ID      uint32                   `json:"id"`
		Publish *protocol.PublishRequest `json:"publish"`
		Send    *protocol.SendRequest    `json:"send"`
		RPC     *protocol.RPCRequest     `json:"rpc"`
	}
	if !utf8.Valid(line) { // The small ones' decoder sees to that itself.
		return nil, errUTF8
	}
	if err := json.Unmarshal(line, &large); err != nil {
		return nil, fmt.Errorf("not a command: %w", err)
	}
	c := &protocol.Command{Id: large.ID, Publish: large.Publish, Send: large.Send, Rpc: large.RPC}
	if !hasMethod(c) {
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
