package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sluice/gateway"
)

// signals are those that the process is sent.
type signals struct {
	// Apart, or signals to reload that wait would take the place of the one to stop.
	stops, hangups chan os.Signal

	hadTerminal bool // at the start
}

// hearSignals makes them come until close.
func hearSignals() *signals {
	s := &signals{make(chan os.Signal, 2), make(chan os.Signal, 1), hasTerminal()}
	signal.Notify(s.stops, syscall.SIGTERM, os.Interrupt)
	if !signal.Ignored(syscall.SIGHUP) { // As nohup has it, from the start: then it stays ignored.
		signal.Notify(s.hangups, syscall.SIGHUP)
	}
	return s
}

// hasHungUp tells a terminal that has really hung up from a signal to reload.
func (s *signals) hasHungUp() bool { return s.hadTerminal && !hasTerminal() }

// close has those to stop do again what they do to a program that does not hear them. One to reload
// that comes now would end the program, too, and another status would stand for what was done in
// order.
func (s *signals) close() {
	if s != nil {
		signal.Stop(s.stops)
		signal.Ignore(syscall.SIGHUP)
	}
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
func drain(
	s *gateway.Server, timeout time.Duration, log *slog.Logger, stops <-chan os.Signal,
) (status int) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout+drainGrace)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	repeats := time.After(repeatTime)
	for {
		select {
		case err := <-drained:
			if err != nil {
				log.Warn("cutting the connections that are left",
					"connections", s.Open(), "error", err)
			}
			return exitOK
		case <-repeats:
			repeats = nil
		case got := <-stops:
			if repeats != nil {
				log.Debug("the same request to stop", "signal", got.String())
				continue
			}
			log.Warn("stopping at once", "signal", got.String(), "connections", s.Open())
			return exitCut
		}
	}
}
