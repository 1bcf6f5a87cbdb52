package compare

import (
	"context"
	"errors"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/run"
)

// A Contender is a server under a load.
type Contender struct {
	Command string     // of the shell, as for --spawn
	URL     string     // path and query to connect to; host and port do not matter
	Load    *load.Load // prepared
}

// TakeTurns measures all contenders once in each of the rounds, every time in a new process, and
// tells after each one what it was. The order turns around with every round, so that a machine
// which grows slower does not favour anybody. Where one cannot be measured, or ctx ends, it ends
// with the error, and no process of its own is left. Limits must have been raised for the loads.
func TakeTurns(ctx context.Context, all []Contender, rounds int, after func(round, which int, res *report.Result)) error {
	for round := range rounds {
		for i := range all {
			if round%2 == 1 {
				i = len(all) - 1 - i
			}
			c := &all[i]
			res, err := run.Once(ctx, c.Load, []string{c.URL}, []string{c.Command}, nil, &progress.Display{})
			if err != nil {
				return err
			}
			if res.Server == nil {
				return errors.New("this system does not tell what a process used")
			}
			after(round, i, res)
		}
	}
	return nil
}
