package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/web"
)

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
