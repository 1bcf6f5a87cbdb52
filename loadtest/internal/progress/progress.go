// Package progress shows people who wait how far a run is.
package progress

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// A Display tells people who wait how far a run is: with a bar on a terminal, with a line every few
// seconds elsewhere. The zero Display says nothing.
type Display struct {
	w     io.Writer // nil: says nothing
	isTTY bool
}

// New makes a display on w, which says nothing if quiet.
func New(w io.Writer, quiet bool) *Display {
	if quiet {
		return &Display{}
	}
	f, isFile := w.(*os.File)
	return &Display{w: w, isTTY: isFile && cwriter.IsTerminal(int(f.Fd()))}
}

// Say writes one line, as fmt.Fprintf does.
func (p *Display) Say(format string, args ...any) {
	if p.w != nil {
		fmt.Fprintf(p.w, format+"\n", args...)
	}
}

const (
	barRefresh = 200 * time.Millisecond
	lineEvery  = 5 * time.Second
)

// Follow shows how count nears total until the function that it returns is called; count is called
// from another goroutine meanwhile. what is being done, and the unit counted, are words for the
// line.
func (p *Display) Follow(ctx context.Context, what, unit string, total int64, count func() int64) (end func()) {
	if p.w == nil || total <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		if p.isTTY {
			p.drawBar(ctx, what, unit, total, count)
		} else {
			p.writeLines(ctx, what, unit, total, count)
		}
	})
	return func() { cancel(); done.Wait() }
}

func (p *Display) drawBar(ctx context.Context, what, unit string, total int64, count func() int64) {
	bars := mpb.New(mpb.WithOutput(p.w), mpb.WithWidth(48))
	start := time.Now()
	bar := bars.AddBar(total, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(what+" ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Any(func(s decor.Statistics) string {
			return fmt.Sprintf("  %.0f %s/s  ", float64(s.Current)/time.Since(start).Seconds(), unit)
		}), decor.AverageETA(decor.ET_STYLE_GO)))
	tick := time.NewTicker(barRefresh)
	defer tick.Stop()
	for ctx.Err() == nil {
		// Reaching the end would remove it while the last ones are waited for.
		bar.SetCurrent(min(count(), total-1))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	bar.Abort(true)
	bars.Wait()
}

func (p *Display) writeLines(ctx context.Context, what, unit string, total int64, count func() int64) {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	last := count()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n := count()
			p.Say("%s: %d of %d, %.0f %s/s", what, n, total, float64(n-last)/lineEvery.Seconds(), unit)
			last = n
		}
	}
}
