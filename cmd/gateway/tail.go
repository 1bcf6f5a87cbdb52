package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/coder/websocket"
)

// A tailCommand prints what is said in a room.
type tailCommand struct {
	Visit
	JSON  bool   `help:"Print each message as a line of JSON: {\"text\": …}, or {\"base64\": …} for a binary one." env:"-"`
	Last  string `help:"Begin with the last N messages that the room keeps, or all of them: what --history says there." placeholder:"N|all" env:"-"`
	Count int    `help:"End after so many messages, with status 0." placeholder:"N" short:"n" env:"-"`
}

// Help is kong's way to ask for more to say.
func (c *tailCommand) Help() string {
	return `A text message is printed as it is, with a line feed; on a terminal what is not printable is replaced. A binary one is
printed as base64, which --json tells apart from a text that looks so. With --last it begins with what
the room keeps, if it keeps anything. It does not reconnect: when the connection ends the
status is 1, and the close code is said on standard error.`
}

// Run prints until the connection ends.
func (c *tailCommand) Run(p *program) error {
	ctx := context.Background()
	query, err := c.query()
	if err != nil {
		return usageError{err}
	}
	socket, err := c.dial(ctx, query)
	if err != nil {
		return err
	}
	defer socket.CloseNow()
	out := bufio.NewWriter(p.stdout)
	show := func(text string) string { return text }
	if isTerminal(p.stdout) {
		show = printable
	}
	for n := 1; ; n++ {
		kind, message, err := socket.Read(ctx)
		if err != nil {
			return ending(err)
		}
		switch {
		case c.JSON:
			_ = json.NewEncoder(out).Encode(asJSON(kind, message)) // What fails is writing, which Flush says.
		case kind == websocket.MessageBinary:
			fmt.Fprintln(out, base64.StdEncoding.EncodeToString(message))
		default:
			fmt.Fprintln(out, show(string(message)))
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if n == c.Count {
			_ = socket.Close(websocket.StatusNormalClosure, "") // It has what it wanted.
			return nil
		}
	}
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

func asJSON(kind websocket.MessageType, message []byte) any {
	if kind == websocket.MessageBinary {
		return struct {
			Base64 []byte `json:"base64"`
		}{message}
	}
	return struct {
		Text string `json:"text"`
	}{string(message)}
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
