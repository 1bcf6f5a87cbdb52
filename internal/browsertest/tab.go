package browsertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/chromedp"
)

const (
	pauseMin = 5 * time.Millisecond // between two questions, …
	pauseMax = 80 * time.Millisecond
	patience = time.Minute // … and for how long they are asked; for anything else in a tab, too
)

// noAnswer is the code of DevTools for a page that gives way to the next while it is asked.
const noAnswer = -32000

// Do takes steps in a tab, for which there is a minute.
func Do(t testing.TB, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// Evaluate runs an expression in a tab's page, for which there is a minute.
func Evaluate[T any](t testing.TB, tab context.Context, expression string, how ...chromedp.EvaluateOption) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, how...))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// Until waits until a condition holds in a tab, and reports whether it did within a minute. It asks
// from outside, so that the waiting needs nothing which the page's policy could forbid, and ever
// less often: each answer costs Chromium milliseconds.
func Until(t testing.TB, tab context.Context, condition string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		var failure *cdproto.Error
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil && (!errors.As(err, &failure) || failure.Code != noAnswer):
			t.Fatalf("%s: %v", condition, err)
		case err == nil && holds:
			return true
		}
		time.Sleep(pause)
	}
}
