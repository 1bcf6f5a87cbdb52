// Command loadtest loads a WebSocket server that broadcasts, any such server, and proves on every
// connection that nothing was lost, doubled, reordered or damaged. See README.md for what its
// figures mean, and --help for its flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"sluice/loadtest/internal/bench"
	"sluice/loadtest/internal/compare"
	"sluice/loadtest/internal/limits"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/run"
	"sluice/loadtest/internal/server"
)

const description = `Load a WebSocket server that broadcasts, and check every message on every connection. The flags of a load are in
"loadtest run --help"; the word "run" may be left out.

Examples:

    loadtest --clients 1000 --messages 1000
    loadtest --clients 10000 --window 16 ws://127.0.0.1:9000/chat
    loadtest --rate 50 --duration 1m --fail-if 'p99>50ms' ws://127.0.0.1:9000/chat
    loadtest --preset stalled --spawn './server --port $PORT' --fail-if 'stalled_closed>0'
    loadtest --rate 50 --duration 1m --spawn './server --port $PORT' --html report.html --json report.json
    loadtest --clients 30000 ws://10.0.0.5:8080/ws ws://10.0.0.6:8080/ws
    loadtest --clients 5000 --ramp 500 --insecure wss://127.0.0.1:8443/ws
    loadtest compare --spawn './one --port $PORT' --spawn './two $PORT' --clients 1000
    loadtest compare --spawn './one --port $PORT' --spawn 'loadtest floor --listen 127.0.0.1:$PORT' --at 100,1000,10000
    loadtest connect --spawn './one --port $PORT' --spawn 'loadtest floor --listen 127.0.0.1:$PORT'
    loadtest bench --peers --cells '^1000'
    loadtest floor --listen 127.0.0.1:8081

Loads with a name, for --preset:

%s

Exit status: 0 all well, 1 the server failed its clients or a --fail-if was met, 2 wrong use, 3 the server could not be
reached, or not from here: this machine ran out of ports or descriptors.`

// Exit statuses.
const (
	exitOK          = 0
	exitFaulty      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// CLI is the command line.
type CLI struct {
	Run     RunCommand     `cmd:"" default:"withargs" help:"Load a server (the default command)."`
	Compare CompareCommand `cmd:"" help:"Compare servers under one load: they take turns for several rounds."`
	Connect ConnectCommand `cmd:"" help:"Compare what accepting and upgrading a connection costs servers."`
	Bench   bench.Bench    `cmd:"" help:"Measure the cells of docs/benchmarks.md in one table: the gateway beside the floor and other servers."`
	Floor   FloorCommand   `cmd:"" help:"Serve the physical floor: one thread, and a raw write of the ready frame to each client."`
	Helper  HelperCommand  `cmd:"" hidden:"" help:"A further process of a run."`
}

// RunCommand makes one run.
type RunCommand struct {
	load.Load
	URL    []string      `arg:"" optional:"" help:"The server, ws://127.0.0.1:8080/ws if none is given. {room} in it stands for a room's name. With several the clients are spread over them: each has rooms of its own, and at least one publisher."`
	Preset string        `help:"Start from a named load: chat, ticker, storm, stalled or idle. Flags given besides win." enum:",chat,ticker,storm,stalled,idle" default:"" placeholder:"NAME" group:"Load"`
	PID    []int         `name:"pid" help:"The server's process: its CPU time and memory are reported, with all its descendants'. Repeatable." placeholder:"PID" group:"Server" xor:"server"`
	Spawn  []string      `help:"Start the server with this shell command, with a free port in $PORT, and stop it afterwards. The URL's host and port do not matter then. Repeatable: each is a server of its own." sep:"none" placeholder:"COMMAND" group:"Server" xor:"server"`
	FailIf []report.Gate `help:"Fail the run under this condition, as 'p99>50ms' or 'reach<1', besides faults. Repeatable." sep:"none" placeholder:"CONDITION" group:"Report"`
	JSON   string        `name:"json" help:"Write the report to this file." placeholder:"FILE" group:"Report" type:"path"`
	HTML   string        `name:"html" help:"Write the report to this file as a page with plots." placeholder:"FILE" group:"Report" type:"path"`
	Quiet  bool          `help:"Print the report alone." short:"q" group:"Report"`
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(runMain(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// runMain is main, with its surroundings as arguments.
func runMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cli CLI
	exited := -1
	parser := kong.Must(&cli,
		kong.Name("loadtest"),
		kong.Description(fmt.Sprintf(description, load.DescribePresets())),
		kong.Writers(stdout, stderr),
		kong.Resolvers(presetResolver{}),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&compare.Output{Stdout: stdout, Stderr: stderr, Args: args}),
	)
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err == nil {
		err = parsed.Run()
	} else {
		err = load.UsageError{Err: err}
	}
	return status(err, stderr)
}

func status(err error, stderr io.Writer) int {
	var usage load.UsageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, report.ErrFaulty):
		return exitFaulty
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "loadtest: %v\nTry loadtest --help.\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "loadtest: %v\n", err)
	if errors.Is(err, server.ErrUnreachable) || errors.Is(err, run.ErrExhausted) {
		return exitUnreachable
	}
	return exitFaulty
}

// Run is the command.
func (c *RunCommand) Run(ctx context.Context, out *compare.Output) error {
	if err := c.Load.Prepare(); err != nil {
		return err
	}
	if len(c.Spawn) > 0 && len(c.URL) > 1 {
		return load.UsageError{Err: errors.New("--spawn: one URL is enough, whose path is every server's")}
	}
	if err := report.CheckFiles(report.File{Flag: "--json", Path: c.JSON}, report.File{Flag: "--html", Path: c.HTML}); err != nil {
		return load.UsageError{Err: err}
	}
	c.Sample = c.JSON != "" || c.HTML != ""
	limits.Raise(c.Loops)
	urls := c.URL
	switch {
	case len(urls) > 0:
	case c.Protocol == load.Centrifuge:
		urls = []string{centrifugeURL}
	default:
		urls = []string{defaultURL}
	}
	began := time.Now()
	res, err := run.Once(ctx, &c.Load, urls, c.Spawn, c.PID, progress.New(out.Stderr, c.Quiet))
	if err != nil {
		return err
	}
	res.Print(out.Stdout)
	failed := report.Failures(c.FailIf, res)
	for _, line := range failed {
		fmt.Fprintln(out.Stdout, line)
	}
	if c.JSON != "" {
		if err := res.WriteJSON(c.JSON); err != nil {
			return err
		}
	}
	if c.HTML != "" {
		if err := report.WritePage(c.HTML, res, began, out.Args, failed); err != nil {
			return err
		}
	}
	if res.Faulty() || len(failed) > 0 {
		return report.ErrFaulty
	}
	return nil
}

// Where the gateway is, if no URL is given.
const (
	defaultURL    = "ws://127.0.0.1:8080/ws"
	centrifugeURL = "ws://127.0.0.1:8080/connection/websocket"
)

// presetResolver fills in the flags that --preset names and the command line does not.
type presetResolver struct{}

// Validate implements kong.Resolver.
func (presetResolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (presetResolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, p := range ctx.Path {
		if p.Flag == nil || p.Flag.Name != "preset" {
			continue
		}
		name, _ := ctx.Value(p).Interface().(string)
		if value, isSet := load.PresetFlag(name, flag.Name); isSet {
			return value, nil
		}
	}
	return nil, nil
}
