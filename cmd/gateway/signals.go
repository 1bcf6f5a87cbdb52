package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"sluice/gateway"
)

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
