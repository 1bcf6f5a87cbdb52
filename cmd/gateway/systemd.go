package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"sluice/gateway"
)

// passedSockets are those that the process was started with, as sd_listen_fds(3) has it.
type passedSockets []*os.File

// takePassedSockets takes them out of the environment as well, so that no child believes them its
// own.
func takePassedSockets() passedSockets { return activation.Files(true) }

// listenOn makes the gateway listen on the sockets that an address stands for.
func (p *passedSockets) listenOn(s *gateway.Server, on listening) error {
	address := on.address
	name := strings.TrimPrefix(address, systemdPrefix)
	var left passedSockets
	var names []string
	found := false
	for _, file := range *p {
		if name != "" && file.Name() != name {
			left, names = append(left, file), append(names, file.Name())
			continue
		}
		found = true
		l, err := net.FileListener(file)
		file.Close()
		if err == nil {
			err = s.ListenOnWith(l, on.speaks)
		}
		if err != nil {
			return fmt.Errorf("cannot listen on %s, descriptor %s: %w", address, file.Name(), err)
		}
	}
	*p = left
	switch {
	case found:
		return nil
	case len(names) > 0:
		return fmt.Errorf("cannot listen on %s: of what systemd has passed nothing has that name, only %s", address, strings.Join(names, ", "))
	}
	return fmt.Errorf("cannot listen on %s: systemd has passed no socket; its socket unit has to be started, not the service alone", address)
}

// close closes what nobody has asked for.
func (p passedSockets) close(log *slog.Logger) {
	for _, file := range p {
		log.Warn("systemd has passed a socket that nobody listens on", "name", file.Name(), "hint", "--listen systemd:")
		file.Close()
	}
}

// keepWatchdog tells systemd that the loops go round, as often as its WatchdogSec wants, until ctx
// ends.
func keepWatchdog(ctx context.Context, s *gateway.Server) {
	interval := watchdogInterval()
	if interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked, cancel := context.WithTimeout(ctx, interval/3)
		_, err := s.Stats(asked) // Each loop answers, or systemd hears nothing.
		cancel()
		if err == nil {
			tell(goesRound)
		}
	}
}
