package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A sendCommand says in a room what it is given to read.
type sendCommand struct {
	Visit
	Admin   string `help:"Publish as a backend does, on the admin listener: http://host:port, https://host, or unix:/path/to/socket, which needs no key." placeholder:"URL" env:"-"`
	KeyFile string `help:"A file whose first key opens --admin, such as that of --admin-key-file." placeholder:"FILE" env:"-"`
	Whole   bool   `help:"Send all of standard input as one message." env:"-"`
	Binary  bool   `help:"Send binary messages." env:"-"`
}

// Help is kong's way to ask for more to say.
func (c *sendCommand) Help() string {
	return `Each line of standard input becomes a message, without its line feed. What others say is not heard (echo=0). Status 0 says that
the gateway has read all of it: it has answered the ping that came behind. When the connection ends earlier the status is 1,
and the close code is said on standard error.

With --admin each message is published as a backend does, also where clients may not, and into rooms that nobody is in: status
0 says that the gateway has accepted all of them. While a room is full or a rate used up it tries again when it is told to, sixty times;
where a cluster has not acknowledged a message, for a minute. Each message has an Idempotency-Key, so it is published once.`
}

// Run sends until the end of the input.
func (c *sendCommand) Run(p *program) error {
	switch {
	case c.Admin != "" && (c.URL != os.Getenv("SLUICE_URL") || c.Token != os.Getenv("SLUICE_TOKEN")):
		return usageError{errors.New("--admin is where a backend publishes, with a key: --url and --token are for who joins the room")}
	case c.Admin != "":
		return c.publish(p.stdin)
	case c.KeyFile != "":
		return usageError{errors.New("--key-file: a key opens the admin listener alone, which --admin names; who joins a room shows a --token")}
	}
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

// say sends what there is to read, and returns when the gateway has read it: it answers a ping in
// its turn.
func (c *sendCommand) say(ctx context.Context, from io.Reader, socket *websocket.Conn) error {
	kind := websocket.MessageText
	if c.Binary {
		kind = websocket.MessageBinary
	}
	err := c.each(from, func(message []byte) error { return socket.Write(ctx, kind, message) })
	if err != nil {
		return err
	}
	return socket.Ping(ctx)
}

// each hands on one message after the other, to the end of the input or the first error.
func (c *sendCommand) each(from io.Reader, hand func(message []byte) error) error {
	in := bufio.NewReader(from)
	for line := 1; ; line++ {
		message, end, err := c.next(in)
		switch {
		case err != nil:
			return lineError{err}
		case end && len(message) == 0 && (line > 1 || !c.Whole):
			return nil
		case !c.Binary && !utf8.Valid(message):
			return lineError{fmt.Errorf("line %d is not UTF-8, which a text message has to be: --binary sends it as it is", line)}
		}
		if err := hand(message); err != nil || end {
			return err
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
