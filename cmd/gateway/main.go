// Command gateway is Sluice: what one WebSocket client sends, every client of its room receives.
// See README.md for what it is for, and --help for its flags.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// A commandLine is all that can be said to the program. Each command has a method Run, and a file.
type commandLine struct {
	Serve  serveCommand  `cmd:"" default:"withargs" help:"Run the gateway, as without a command."`
	Health healthCommand `cmd:"" help:"Ask a gateway whether it is well, for containers: the exit status says so."`
	Tail   tailCommand   `cmd:"" help:"Print the messages of a room."`
	Send   sendCommand   `cmd:"" help:"Send the lines of standard input into a room."`
	Key    keyCommand    `cmd:"" help:"Print a new API key for --admin-key-file."`
	Token  tokenCommand  `cmd:"" help:"Make a token for trying out, or explain one."`
	Config configCommand `cmd:"" help:"Check the configuration, or print it."`

	Version kong.VersionFlag `help:"Print the version and exit." short:"v" env:"-"`
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main, with its surroundings as arguments.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{args: args, stdin: stdin, stdout: stdout, stderr: stderr}
	exited := -1
	p.parser = newParser(&commandLine{},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	ctx, err := p.parser.Parse(args)
	if exited >= 0 { // --help and --version
		return exited
	}
	name := "gateway"
	if err != nil {
		name = p.asked(err)
		err = usageError{p.explain(err)}
	} else {
		if ctx.Selected() != ctx.Model.DefaultCmd {
			name = ctx.Selected().FullPath()
		}
		err = ctx.Run(p)
	}
	var status exitStatus
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %v\nTry %s --help.\n", name, err, name)
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return exitFailed
}
