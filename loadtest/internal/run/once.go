// Package run makes one whole run: it starts the servers if it is told to, and further processes of
// the load test where descriptors do not suffice, leads all processes through the steps of a run,
// and returns the report.
package run

import (
	"context"
	"net/url"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/server"
)

// ErrExhausted says that this machine ran out of what connections need. It has the remedy with it.
var ErrExhausted = process.ErrExhausted

// Once makes one run and returns its report, or an error if there is none. It is against servers
// that are started for it if there are commands, each of which takes the path of the first URL;
// otherwise against those of urls, whose processes are pids if they are known. cfg must be
// prepared. The error is server.ErrUnreachable where not one client could connect, ErrExhausted
// where it was this machine's fault, and a load.UsageError where a URL cannot be.
func Once(ctx context.Context, cfg *load.Load, urls, commands []string, pids []int, show *progress.Display) (*report.Result, error) {
	var servers []*server.Server
	for i, command := range commands {
		s, err := server.Spawn(ctx, command)
		if err != nil {
			return nil, err
		}
		defer s.Stop()
		servers = append(servers, s)
		pids = append(pids, s.PID())
		to, err := withHost(urls[0], s.Addr())
		if err != nil {
			return nil, load.UsageError{Err: err}
		}
		urls = append(urls[:i:i], to)
	}
	targets, err := cfg.Aim(urls)
	if err != nil {
		return nil, err
	}
	res, err := measure(ctx, cfg, targets, pids, show)
	if err != nil {
		return nil, err
	}
	for _, s := range servers {
		s.Stop()
		if res.Server != nil {
			res.Server.Hear(s.Said())
		}
	}
	return res, nil
}

func withHost(raw, host string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.Host = host
	return u.String(), nil
}
