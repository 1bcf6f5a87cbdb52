package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"sluice/gateway"
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
	status := serve(&reloader{args: p.args, running: found, level: level, log: log}, out)
	if status != exitOK {
		return exitStatus(status)
	}
	return nil
}

// serve runs the gateway until a signal, and returns the exit status.
func serve(r *reloader, out *logWriter) int {
	s := &service{reloader: r, out: out, ended: make(chan error, 3)}
	s.life, s.cut = context.WithCancel(context.Background())
	defer s.close()
	if err := s.start(); err != nil {
		s.log.Error("cannot start", "error", err)
		return exitFailed
	}
	if err := s.run(); err != nil {
		s.log.Error("cannot go on", "error", err)
		return exitFailed
	}
	return s.stop()
}

// A service is the gateway as this process.
type service struct {
	*reloader
	out     *logWriter
	signals *signals
	ended   chan error         // why the gateway or its cluster cannot go on; nil: it was cut
	life    context.Context    // ends when all is cut …
	cut     context.CancelFunc // … by this
}

// start makes all that there is, and returns when clients are served. After an error a part of it
// may be there.
func (s *service) start() (err error) {
	cfg := s.running.Config
	container := s.fitMachine()
	if s.known, err = cfg.authenticator(s.log); err != nil {
		return err
	}
	if s.joined, err = cfg.clustering(s.log); err != nil {
		return err
	}
	opts, err := s.optionsOf(cfg)
	if err != nil {
		return err
	}
	s.signals = hearSignals()
	if s.server, err = gateway.New(opts, s.log); err != nil {
		return err
	}
	speaks, err := s.listen(cfg)
	if err != nil {
		return err
	}
	if s.admin, err = newAdminServer(cfg, s.server, s.joined, s.log, s.out); err != nil {
		return err
	}
	announce(s.server, cfg, speaks, &opts, container, s.log)
	return s.begin()
}

// listen opens the addresses, and returns what is spoken on each of those that the server has then.
func (s *service) listen(cfg *Config) (speaks []gateway.ListenOptions, err error) {
	passed := takePassedSockets()
	for _, l := range cfg.listenings() {
		if strings.HasPrefix(l.address, systemdPrefix) {
			err = passed.listenOn(s.server, l)
		} else {
			err = s.server.ListenWith(l.address, l.speaks)
		}
		if err != nil {
			return nil, err
		}
		for len(speaks) < len(s.server.Addrs()) { // localhost is two.
			speaks = append(speaks, l.speaks)
		}
	}
	passed.close(s.log)
	return speaks, nil
}

// begin makes everything run that was made.
func (s *service) begin() error {
	if err := s.known.begin(s.life); err != nil {
		return err
	}
	s.joined.run(s.server, s.ended)
	go func() { s.ended <- s.server.Serve(s.life) }()
	// A signal that came first would find nothing to drain, and reset those in the accept queues.
	select {
	case <-s.server.Serving():
	case err := <-s.ended:
		return err
	}
	go keepWatchdog(s.life, s.server)
	s.admin.serve()
	tell(isReady)
	return nil
}

// run waits until the gateway is told to stop, and has it reload when it is told to; or returns why
// it cannot go on.
func (s *service) run() error {
	for {
		select {
		case got := <-s.signals.stops:
			s.sayDraining(got)
			return nil
		case got := <-s.signals.hangups:
			if s.signals.hasHungUp() {
				s.sayDraining(got)
				return nil
			}
			tellReloading()
			s.reload()
			tell(isReady)
		case err := <-s.ended:
			return err
		}
	}
}

func (s *service) sayDraining(got os.Signal) {
	cfg := s.running
	s.log.Info("draining", "signal", got.String(), "connections", s.server.Open(),
		"delay", cfg.DrainDelay, "timeout", cfg.DrainTimeout)
}

// stop makes everything end in order, and returns the exit status.
func (s *service) stop() int {
	tell(isStopping)
	status := drain(s.server, s.running.DrainDelay+s.running.DrainTimeout, s.log, s.signals.stops)
	if status == exitOK {
		s.joined.drain()
	}
	s.cut()
	<-s.ended
	s.admin.drain()
	logTotals(s.server, s.log, s.out)
	return status
}

// close cuts what is there, the last to be made first.
func (s *service) close() {
	s.cut()
	s.admin.close()
	if s.server != nil {
		s.server.Close()
	}
	s.signals.close()
	s.joined.close() // Behind the server.
}
