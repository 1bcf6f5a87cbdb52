// Command gateway is Sluice: what one WebSocket client sends, every client of its room receives.
// See README.md for what it is for, and --help for its flags.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/reactor"
	"sluice/web"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // could not start or go on, or what was asked for went wrong
	exitUsage  = 2 // flags, environment or configuration make no sense
	exitCut    = 3 // stopped by another signal

	exitInterrupted = 130 // a command that its user ended by SIGINT or SIGTERM, as shells say it
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// A serveCommand runs the gateway.
type serveCommand struct{ Config }

// Run serves until a signal.
func (c *serveCommand) Run(p *program) error {
	// Whoever reads the log may go away (gateway 2>&1 | head -1); that must not end everybody's
	// connections.
	signal.Ignore(syscall.SIGPIPE)
	found, err := load(p.args) // Again, with the file.
	if err != nil {
		return usageError{err}
	}
	out := newLogWriter(p.stderr)
	defer out.Close()
	level := new(slog.LevelVar)
	log := newLogger(found.Config, level, out)
	for _, name := range unknownVariables(p.parser.Model, os.Environ()) {
		log.Warn("no flag goes by this environment variable", "name", name)
	}
	if status := serve(&reloader{args: p.args, running: found, level: level, log: log}, out); status != exitOK {
		return exitStatus(status)
	}
	return nil
}

// newLogger writes as the configuration says, from a level on that may change.
func newLogger(cfg *Config, level *slog.LevelVar, w io.Writer) *slog.Logger {
	setLevel(level, cfg.LogLevel)
	var h slog.Handler = slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	if cfg.LogFormat == "json" {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	if len(cfg.AdminListen) > 0 {
		h = admin.NewTail(h) // For the live page.
	}
	return slog.New(h)
}

func setLevel(level *slog.LevelVar, name string) {
	_ = level.UnmarshalText([]byte(name)) // kong has held it to the four names
}

// serve runs the gateway until a signal, and returns the exit status.
func serve(r *reloader, out *logWriter) int {
	cfg, log := r.running.Config, r.log
	loops := cfg.Loops
	if loops == 0 { // Before there are more processors than cores.
		loops = limitLoops(cfg.options().Defaults().Loops, systemFiles{})
	}
	raiseProcs(loops)
	keepLessGarbage()
	container := limitMemory(systemFiles{})
	known, err := cfg.authenticator(log)
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	r.known = known
	joined, err := cfg.clustering(log)
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	defer joined.close() // Behind the server.
	r.prepare = func(cfg *Config) (gateway.Options, error) {
		opts := cfg.options()
		if opts.Loops == 0 {
			opts.Loops = loops
		}
		if known != nil {
			opts.Auth = known // What it goes by changes with a restart, and what is in files of keys at once.
		}
		joined.join(&opts)
		opts = opts.Defaults()
		told := log
		if r.server != nil { // It was said at the start.
			told = slog.New(slog.DiscardHandler)
		}
		if err := fitDescriptors(&opts, cfg.adminDescriptors(), told); err != nil {
			return opts, fmt.Errorf("%w: %s", err, moreDescriptors)
		}
		var err error
		opts.Pages, err = pagesOf(cfg.Web)
		return opts, err
	}
	opts, err := r.prepare(cfg)
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	// Apart, or signals to reload that wait would take the place of the one to stop.
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	if !signal.Ignored(syscall.SIGHUP) { // As nohup has it, from the start: then it stays ignored.
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}

	s, err := gateway.New(opts, log)
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	defer s.Close()
	r.server = s
	terminal := hasTerminal()
	passed := takePassedSockets()
	var speaks []gateway.ListenOptions // by address
	for _, l := range cfg.listenings() {
		if strings.HasPrefix(l.address, systemdPrefix) {
			err = passed.listenOn(s, l)
		} else {
			err = s.ListenWith(l.address, l.speaks)
		}
		if err != nil {
			log.Error("cannot start", "error", err)
			return exitFailed
		}
		for len(speaks) < len(s.Addrs()) { // localhost is two.
			speaks = append(speaks, l.speaks)
		}
	}
	passed.close(log)
	r.admin, err = newAdminServer(cfg, s, joined, log, out)
	if err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	defer r.admin.close()
	announce(s, cfg, speaks, &opts, container, log)
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	if err := known.begin(ctx); err != nil {
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	ended := make(chan error, 3)
	joined.run(s, ended)
	go func() { ended <- s.Serve(ctx) }()
	select { // A signal that came first would find nothing to drain, and reset those in the accept queues.
	case <-s.Serving():
	case err := <-ended:
		log.Error("cannot start", "error", err)
		return exitFailed
	}
	go keepWatchdog(ctx, s)
	r.admin.serve()
	tell(isReady)
	stop := func(got os.Signal) {
		log.Info("draining", "signal", got.String(), "connections", s.Open(), "delay", cfg.DrainDelay, "timeout", cfg.DrainTimeout)
	}
	for isServing := true; isServing; {
		select {
		case got := <-signals:
			stop(got)
			isServing = false
		case got := <-hangups:
			if terminal && !hasTerminal() { // It has really hung up.
				stop(got)
				isServing = false
				break
			}
			tellReloading()
			r.reload()
			tell(isReady)
		case err := <-ended:
			log.Error("cannot go on", "error", err)
			return exitFailed
		}
	}
	tell(isStopping)
	status := drain(s, cfg.DrainDelay+cfg.DrainTimeout, log, signals)
	if status == exitOK {
		joined.drain()
	}
	cut()
	<-ended
	r.admin.drain()
	logTotals(s, log, out)
	return status
}

// pagesOf is what answers paths that are no WebSockets, as --web says; nil: nothing.
func pagesOf(what string) (http.Handler, error) {
	switch what {
	case "demo":
		return web.New(web.Options{Version: version()}), nil
	case "off":
		return nil, nil
	}
	pages, err := web.Directory(what)
	if err != nil {
		return nil, fmt.Errorf("--web: neither demo nor off, nor a directory: %w", err)
	}
	return pages, nil
}

// hasTerminal reports whether the process has a terminal that may hang up.
func hasTerminal() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	terminal.Close()
	return true
}

// repeatTime is for how long further signals are the same request: timeout(1) and supervisors
// signal the process and its group.
const repeatTime = time.Second

// drainGrace is what a drain may last beyond its time: the loops end their connections at that, and
// this is for what hangs.
const drainGrace = time.Second

// drain lets the connections end in order. A later signal cuts it short.
func drain(s *gateway.Server, timeout time.Duration, log *slog.Logger, signals <-chan os.Signal) (status int) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout+drainGrace)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	repeats := time.After(repeatTime)
	for {
		select {
		case err := <-drained:
			if err != nil {
				log.Warn("cutting the connections that are left", "connections", s.Open(), "error", err)
			}
			return exitOK
		case <-repeats:
			repeats = nil
		case got := <-signals:
			if repeats != nil {
				log.Debug("the same request to stop", "signal", got.String())
				continue
			}
			log.Warn("stopping at once", "signal", got.String(), "connections", s.Open())
			return exitCut
		}
	}
}

// logTotals says what was done, when all is over.
func logTotals(s *gateway.Server, log *slog.Logger, out *logWriter) {
	sum, _ := s.Stats(context.Background()) // It waits for nobody any more, so it cannot fail.
	var closed []any
	for r, n := range sum.Closed {
		if n > 0 {
			closed = append(closed, gateway.CloseReason(r).String(), n)
		}
	}
	log.Info("stopped", "messages", sum.Messages, "published", sum.Published, "deliveries", sum.Deliveries, "writes", sum.Writes,
		"owed", sum.Hub.Owed, "skipped", sum.Hub.Skipped, "ended_early", sum.Hub.Ended,
		"refused_writes", sum.Refused, "accepted", sum.Accepted, slog.Group("closed", closed...),
		"ticks", sum.Loop.Ticks, "log_lines_dropped", out.Dropped())
}

// announce says what a person who just started the gateway wants to know. container is the limit of
// memory that its own comes from, zero if it does not.
func announce(s *gateway.Server, cfg *Config, speaks []gateway.ListenOptions, opts *gateway.Options, container int64, log *slog.Logger) {
	for i, addr := range s.Addrs() {
		log.Info("listening", "address", addr.String(), "tls", speaks[i].TLS, "proxy_protocol", speaks[i].ProxyProtocol,
			"loops", opts.Loops, "max_connections", opts.MaxConnections)
		if i == 0 && addr.Network() == "tcp" && cfg.Web == "demo" && opts.Auth == nil && !speaks[i].ProxyProtocol {
			log.Info("open the demo page", "url", pageURL(addr, speaks[i].TLS, opts.PathPrefix))
		}
	}
	switch limit := debug.SetMemoryLimit(-1); { // Negative: only asks.
	case container > 0:
		log.Info("memory is limited to three quarters of the container's", "bytes", limit, "container", container,
			"hint", "GOMEMLIMIT sets another limit, GOMEMLIMIT=off none")
	case limit < math.MaxInt64:
		log.Info("memory is limited by GOMEMLIMIT", "bytes", limit)
	}
	for _, addr := range s.Addrs() {
		if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() && opts.Auth == nil && opts.Anonymous == nil {
			log.Warn("listening on all interfaces without authentication: whoever can reach this port can read and write in every room",
				"hint", fmt.Sprintf("--listen localhost:%d for this machine alone", tcp.Port))
			return
		}
	}
}

func pageURL(addr net.Addr, hasTLS bool, prefix string) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	scheme := "http://"
	if hasTLS {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + prefix + "/"
}

// raiseProcs gives the other goroutines, and the collector, processors beside the loops: a busy
// loop keeps the one it has, and with no more of them than loops any other goroutine ran 18 ms
// late. An operator's GOMAXPROCS stands.
func raiseProcs(loops int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + loops)
	}
}

// garbagePercent is how much garbage may lie beside what lives before it is collected. Go's 100
// would let memory be twice the sum of the limits; what lives here is mostly bytes that the collector
// need not look into.
const garbagePercent = 40

// keepLessGarbage sets it. An operator's GOGC stands.
func keepLessGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// A gateway that could hold fewer than connectionsLeast for want of descriptors is of no use to
// anybody and says so at the start, not by refusing clients; below connectionsFew it warns.
const (
	connectionsLeast = 16
	connectionsFew   = 1000
	moreDescriptors  = "raise it with ulimit -n or LimitNOFILE"
)

// fitDescriptors lowers --max-connections to what the descriptor limit allows, which the admin
// listeners take some of.
func fitDescriptors(opts *gateway.Options, admin int, log *slog.Logger) error {
	limit, err := reactor.DescriptorLimit()
	if err != nil {
		log.Warn("cannot read the descriptor limit", "error", err)
		return nil
	}
	room := roomIn(int(min(limit, 1<<30))-admin, opts)
	if opts.MaxConnections <= room {
		return nil
	}
	if room < min(connectionsLeast, opts.MaxConnections) {
		return fmt.Errorf("a limit of %d descriptors leaves room for hardly any connection (%d are for the admin listener)", limit, admin)
	}
	level := slog.LevelInfo
	if room < connectionsFew {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level, "lowering --max-connections to what the descriptor limit allows",
		"from", opts.MaxConnections, "to", room, "descriptors", limit, "hint", moreDescriptors)
	opts.MaxConnections = room
	return nil
}

// roomIn is how many connections fit in so many descriptors, one at least. Some are the gateway's
// own: listeners, logs, the runtime's, three for each loop. Some are kept for connections that change
// hands with net/http and have a second one for that moment; of what is left that is an eighth at
// most, because few do so at a time.
func roomIn(descriptors int, opts *gateway.Options) int {
	left := descriptors - 32 - 3*opts.Loops
	return max(1, left-min(opts.MaxHTTPConnections, left/8))
}

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
