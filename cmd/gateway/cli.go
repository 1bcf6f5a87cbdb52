package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const description = `Sluice is a WebSocket fan-out gateway: what one client sends, every client of its room receives.

Clients connect to /ws, the room "lobby", or to /ws/{room}. The same port serves a page to try it with, at /. Every flag
can be given in the environment too, as SLUICE_ and its name in capitals, SLUICE_MAX_MESSAGE=64KiB, and in the file that
--config names, as max-message: 64KiB. Flags win over the environment, and that over the file.

GOMEMLIMIT=1536MiB, of Go's runtime and in the environment alone, bounds memory as a whole: before it is reached new rooms
are refused, then new connections, and then the slowest clients are overtaken. In a container with a limit of its own it is
three quarters of that unless set; GOMEMLIMIT=off is none.`

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

// A program is what surrounds a command.
type program struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	parser         *kong.Kong
}

// An exitStatus ends the program with it. Everything has been said by then.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// A usageError is about what was asked for, not about what became of it.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

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

// asked is the command whose arguments make no sense: its --help tells which do.
func (p *program) asked(err error) string {
	var fault *kong.ParseError
	if errors.As(err, &fault) {
		if c := fault.Context.Selected(); c != nil && c != fault.Context.Model.DefaultCmd {
			return c.FullPath()
		}
	}
	return p.parser.Model.Name
}

// explain says of a first word that is no command which one may have been meant.
func (p *program) explain(err error) error {
	if len(p.args) == 0 || strings.HasPrefix(p.args[0], "-") {
		return err
	}
	var commands []string
	for _, c := range p.parser.Model.Children {
		if c.Name == p.args[0] {
			return err
		}
		commands = append(commands, c.Name)
	}
	if guess := nearest(p.args[0], commands); guess != "" {
		return fmt.Errorf("there is no command %q, %s", p.args[0], guess)
	}
	return fmt.Errorf("there is no command %q, only %s", p.args[0], strings.Join(commands, ", "))
}

// newParser fills target, which is a commandLine or a part of one.
func newParser(target any, more ...kong.Option) *kong.Kong {
	return kong.Must(target, slices.Concat([]kong.Option{
		kong.Name("gateway"),
		kong.Description(description),
		kong.DefaultEnvars("SLUICE"),
		kong.Vars{"version": version()},
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(helpWithDefault),
		wholeLists(),
	}, more)...)
}

// printHelp shows the flags of serve where no command was named: they may be given there. Nothing
// is parsed with the model afterwards.
func printHelp(o kong.HelpOptions, ctx *kong.Context) error {
	if serve := ctx.Model.DefaultCmd; ctx.Selected() == nil && serve != nil {
		ctx.Model.Flags = append(ctx.Model.Flags, serve.Flags...)
		fmt.Fprintf(ctx.Stdout, "Usage: %s [<command>] [flags]\n", ctx.Model.Name)
		o.NoAppSummary = true
	}
	return kong.DefaultHelpPrinter(o, ctx)
}

// helpWithDefault shows the default behind a flag's help. The variable's name is left out: the
// description tells the rule.
func helpWithDefault(v *kong.Value) string {
	if v.Default == "" || v.Default == "0" {
		return v.Help
	}
	return v.Help + " Default: " + v.Default + "."
}

// unknownVariables finds the SLUICE_ variables that set nothing, as a misspelt one does. SLUICE_CI
// and SLUICE_TEST_… are the tests' own.
func unknownVariables(app *kong.Application, environ []string) []string {
	known := map[string]bool{"SLUICE_CI": true}
	_ = kong.Visit(app, func(v kong.Visitable, next kong.Next) error {
		if f, ok := v.(*kong.Flag); ok {
			for _, name := range f.Envs {
				known[name] = true
			}
		}
		return next(nil)
	})
	var unknown []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "SLUICE_") && !strings.HasPrefix(name, "SLUICE_TEST_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
