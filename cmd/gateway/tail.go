package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/coder/websocket"
)

// A tailCommand prints what is said in a room.
type tailCommand struct {
	Visit
	JSON  bool   `help:"Print each message as a line of JSON: {\"text\": …}, or {\"base64\": …} for a binary one; with --since its position beside it." env:"-"`
	Last  string `help:"Begin with the last N messages that the room keeps, or all of them: what --history says there." placeholder:"N|all" xor:"begin" env:"-"`
	Since string `help:"Begin behind this position, and say which one it ended at." placeholder:"EPOCH:OFFSET" xor:"begin" env:"-"`
	Count int    `help:"End after so many messages, with status 0." placeholder:"N" short:"n" env:"-"`
}

// Help is kong's way to ask for more to say.
func (c *tailCommand) Help() string {
	return `A text message is printed as it is, with a line feed; on a terminal what is not printable is replaced. A binary one is
printed as base64, which --json tells apart from a text that looks so. With --last it begins with what
the room keeps, if it keeps anything. With --since it reads server-sent events, begins behind that
position, and says on standard error where it goes on if what follows there cannot be had any more,
and at its end behind which position it got no further: --since 0:0 finds a room's out. It does not
reconnect: when the connection ends the status is 1, and the close code is said on standard error.`
}

// A saying is one message of the room.
type saying struct {
	data     []byte
	isBinary bool
	position string // behind it, where the room is read by positions
}

// Run prints until the connection ends.
func (c *tailCommand) Run(p *program) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.Count < 0 {
		return usageError{fmt.Errorf("--count %d: must be at least 1", c.Count)}
	}
	next, hangUp, err := c.listen(ctx, p)
	if err != nil {
		return err
	}
	defer hangUp()
	out := bufio.NewWriter(p.stdout)
	show := func(text string) string { return text }
	if isTerminal(p.stdout) {
		show = printable
	}
	for n := 1; ; n++ {
		m, err := next()
		if ctx.Err() != nil {
			return exitStatus(exitInterrupted) // As its user wanted, who may read on elsewhere.
		}
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			_ = json.NewEncoder(out).Encode(m.asJSON()) // What fails is writing, which Flush says.
		case m.isBinary:
			fmt.Fprintln(out, base64.StdEncoding.EncodeToString(m.data))
		default:
			fmt.Fprintln(out, show(string(m.data)))
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if n == c.Count {
			return nil // It has what it wanted.
		}
	}
}

// listen begins to hear the room: by events where positions matter, and by WebSocket otherwise.
func (c *tailCommand) listen(ctx context.Context, p *program) (next func() (saying, error), hangUp func(), err error) {
	if c.Since != "" {
		return c.follow(ctx, p.stderr)
	}
	query, err := c.query()
	if err != nil {
		return nil, nil, usageError{err}
	}
	socket, err := c.dial(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	next = func() (saying, error) {
		kind, message, err := socket.Read(ctx)
		if err != nil {
			return saying{}, ending(err)
		}
		return saying{data: message, isBinary: kind == websocket.MessageBinary}, nil
	}
	return next, func() { _ = socket.Close(websocket.StatusNormalClosure, "") }, nil
}

// query is what is asked of the gateway behind the room's path.
func (c *tailCommand) query() (string, error) {
	if c.Last == "" {
		return "", nil
	}
	if n, err := strconv.ParseUint(c.Last, 10, 31); c.Last != "all" && (err != nil || n == 0) {
		return "", fmt.Errorf("--last %s: must be a number from 1 on, or all", printable(c.Last))
	}
	return "last=" + c.Last, nil
}

// asJSON is the saying as --json prints it.
func (m *saying) asJSON() any {
	if m.isBinary {
		return struct {
			Base64   []byte `json:"base64"`
			Position string `json:"position,omitempty"`
		}{m.data, m.position}
	}
	return struct {
		Text     string `json:"text"`
		Position string `json:"position,omitempty"`
	}{string(m.data), m.position}
}

// isTerminal reports whether somebody may be looking: it is a character device.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	about, err := f.Stat()
	return err == nil && about.Mode()&os.ModeCharDevice != 0
}
