package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A sendCommand says in a room what it is given to read.
type sendCommand struct {
	Visit
	Whole  bool `help:"Send all of standard input as one message." env:"-"`
	Binary bool `help:"Send binary messages." env:"-"`
}

// Help is kong's way to ask for more to say.
func (c *sendCommand) Help() string {
	return `Each line of standard input becomes a message, without its line feed. What others say is not heard (echo=0). Status 0 says that
the gateway has read all of it: it has answered the ping that came behind. When the connection ends earlier the status is 1,
and the close code is said on standard error.`
}

// Run sends until the end of the input.
func (c *sendCommand) Run(p *program) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	socket, err := c.dial(ctx, "echo=0")
	if err != nil {
		return err
	}
	defer socket.CloseNow()
	// Somebody has to read for the gateway's pings to be answered and its Close frame to be seen,
	// while standard input is waited for.
	ended := make(chan error, 1)
	go func() {
		_, _, err := socket.Read(ctx)
		ended <- err
	}()
	said := make(chan error, 1)
	go func() { said <- c.say(ctx, p.stdin, socket) }()
	select {
	case err := <-ended:
		return ending(err)
	case err := <-said:
		var line lineError
		if err != nil && !errors.As(err, &line) { // Writing failed: why says the other side.
			return ending(<-ended)
		}
		if err != nil {
			return err
		}
	}
	_ = socket.Close(websocket.StatusNormalClosure, "") // All has been read, whatever becomes of that.
	return nil
}

// A lineError is what is wrong with the input.
type lineError struct{ error }

// say sends what there is to read, and returns when the gateway has read it: it answers a ping in its
// turn.
func (c *sendCommand) say(ctx context.Context, from io.Reader, socket *websocket.Conn) error {
	in := bufio.NewReader(from)
	for line := 1; ; line++ {
		message, end, err := c.next(in)
		switch {
		case err != nil:
			return lineError{err}
		case end && len(message) == 0 && (line > 1 || !c.Whole):
			return socket.Ping(ctx)
		case !c.Binary && !utf8.Valid(message):
			return lineError{fmt.Errorf("line %d is not UTF-8, which a text message has to be: --binary sends it as it is", line)}
		}
		kind := websocket.MessageText
		if c.Binary {
			kind = websocket.MessageBinary
		}
		if err := socket.Write(ctx, kind, message); err != nil {
			return err
		}
		if end {
			return socket.Ping(ctx)
		}
	}
}

// next is the next message, and whether the input ends behind it.
func (c *sendCommand) next(in *bufio.Reader) (message []byte, end bool, err error) {
	if c.Whole {
		message, err = io.ReadAll(in)
		return message, true, err
	}
	message, err = in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return message, true, nil
	}
	return bytes.TrimSuffix(message, []byte("\n")), false, err
}
