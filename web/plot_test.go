package web

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
)

// prefers tells the page what its reader wants of motion.
func (v tab) prefers(motion string) {
	v.t.Helper()
	v.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: motion}},
		})
		return err
	}))
}

// The newest point slides to its place, unless the reader wants no motion, as those of all other
// tests do.
func TestPlotSlidesUnlessMotionIsUnwanted(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	evaluate[bool](v, `(() => {
		const {arc} = CanvasRenderingContext2D.prototype;
		document.drawn = [];
		CanvasRenderingContext2D.prototype.arc = function (x, ...others) { document.drawn.push(x); arc.call(this, x, ...others); };
		return true;
	})()`)
	// places are where the newest point was drawn until it stood still.
	places := func() int {
		evaluate[int](v, `(document.drawn = []).length`)
		v.say("a round trip")
		v.until(`document.drawn.at(-1) === document.getElementById("plot").clientWidth - 6`)
		return evaluate[int](v, `new Set(document.drawn).size`)
	}
	v.prefers("reduce")
	for range 3 {
		if n := places(); n != 1 {
			t.Errorf("without motion the point was drawn in %d places", n)
		}
	}
	v.prefers("no-preference")
	most := 0
	for range 20 { // On a busy machine the first frame may come when the time of sliding is over.
		if most = max(most, places()); most > 1 {
			break
		}
	}
	if most < 2 {
		t.Error("the point was never drawn on its way")
	}
	v.wantNoErrors()
}
