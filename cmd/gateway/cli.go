package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
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

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // could not start or go on, or what was asked for went wrong
	exitUsage  = 2 // flags, environment or configuration make no sense
	exitCut    = 3 // stopped by another signal

	exitInterrupted = 130 // a command that its user ended by SIGINT or SIGTERM, as shells say it
)

// version is the module's version, or the commit a development build was made from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := strings.Trim(info.Main.Version, "()")
	if v == "" {
		v = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(v, s.Value[:12]) {
			v += " " + s.Value[:12]
		}
	}
	return v + " " + info.GoVersion
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

// noValue is how kong says that a flag is the last thing on its line and has no value.
var noValue = regexp.MustCompile(`expected \w+ value but got "EOL" \(<EOL>\)`)

// explain says of a first word that is no command which one may have been meant.
func (p *program) explain(err error) error {
	if text := noValue.ReplaceAllString(err.Error(), "missing value"); text != err.Error() {
		return errors.New(text)
	}
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
