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

// The axis names its unit, and has room for its numbers, however slow the round trips are.
func TestPlotHasRoomForItsNumbers(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	for longest, want := range map[string]string{
		"0.4": "0 ms, 0.5 ms, 1 ms", "180": "0 ms, 100 ms, 200 ms", "501": "0 s, 0.5 s, 1 s", "1700": "0 s, 1 s, 2 s", "30000": "0 s, 25 s, 50 s",
	} {
		got := evaluate[string](v, `(async () => {
			const {Plot} = await import("/plot.js"), proto = CanvasRenderingContext2D.prototype, {fillText} = proto;
			const canvas = document.getElementById("plot").cloneNode();
			document.getElementById("plot").after(canvas);
			const numbers = [];
			proto.fillText = function (text, x, ...others) {
				if (this.canvas === canvas && / m?s$/.test(text)) numbers.push(x < this.measureText(text).width ? text + " is cut" : text);
				fillText.call(this, text, x, ...others);
			};
			try {
				new Plot(canvas).add(`+longest+`);
				while (numbers.length < 3) await new Promise(requestAnimationFrame);
			} finally {
				proto.fillText = fillText;
				canvas.remove();
			}
			return numbers.slice(0, 3).join(", ");
		})()`, chromedp.EvalAwaitPromise)
		if got != want {
			t.Errorf("with a round trip of %s ms the axis has %s; want %s", longest, got, want)
		}
	}
	v.wantNoErrors()
}
