package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
	"sluice/loadtest/internal/servertest"
)

// openPage opens a file in a tab and fails the test at errors on its console when it ends.
func openPage(t *testing.T, path string) context.Context {
	t.Helper()
	tab := browsertest.Start(t)
	seen := browsertest.ConsoleErrors(t, tab)
	t.Cleanup(func() {
		if errors := seen(); len(errors) > 0 {
			t.Errorf("errors on the console: %v", errors)
		}
	})
	if err := chromedp.Do(tab, chromedp.Navigate("file://"+path), chromedp.WaitReady(chromedp.CSS("main"))); err != nil {
		t.Fatal(err)
	}
	return tab
}

func evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

func TestPageShowsTheRunInABrowser(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.html")
	args := []string{
		"--clients=50", "--rate=50", "--duration=1s", "--stalled=3", "--settle=0s", "--loss-timeout=20s", "--fail-if=max<0", "--html", path,
		"--spawn", selfCommand(t, "floor --listen 127.0.0.1:$PORT") + " # <script>alert('&')</script>",
	}
	var said strings.Builder
	if status := runMain(t.Context(), args, &said, &said); status != exitOK {
		t.Fatalf("exit status %d\n%s", status, said.String())
	}
	tab := openPage(t, path)
	titles := evaluate[[]string](t, tab, `[...document.querySelectorAll("figcaption")].map(e => e.firstChild.data.trim())`)
	want := []string{"Latency by percentile", "Latency over time", "Deliveries per second", "Server: processors busy", "Server: resident memory"}
	if !slices.Equal(titles, want) {
		t.Errorf("plots %q, want %q", titles, want)
	}
	// Each plot has lines within its frame, and labels on both axes that do not lie over each
	// other.
	type drawing struct {
		Lines, Labels  int
		Outside, Cover []string
	}
	for i, d := range evaluate[[]drawing](t, tab, `[...document.querySelectorAll("figure svg")].filter(svg => svg.checkVisibility()).map(svg => {
		const frame = svg.getBoundingClientRect(), at = e => e.getBoundingClientRect()
		const labels = [...svg.querySelectorAll("text")]
		const isOut = r => r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1
		const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom
		return {
			Lines: [...svg.querySelectorAll("path")].filter(p => /--[abc]\)/.test(p.getAttribute("style"))).length,
			Labels: labels.length,
			Outside: [...labels, ...svg.querySelectorAll("path")].filter(e => isOut(at(e))).map(e => e.outerHTML),
			Cover: labels.filter((e, i) => labels.slice(i + 1).some(o => meet(at(e), at(o)))).map(e => e.textContent),
		}
	})`) {
		if d.Lines == 0 || d.Labels < 5 || len(d.Outside)+len(d.Cover) > 0 {
			t.Errorf("%s: %+v", titles[i], d)
		}
	}
	text := evaluate[string](t, tab, `document.body.innerText`)
	for _, words := range []string{
		"Every message reached every client", "0 lost, 0 duplicated", "never came", "3 still connected",
		"loadtest --clients=50", "# <script>alert('\\''&'\\'')</script>", "µs of CPU per delivery",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("the page does not say %q", words)
		}
	}
	if n := evaluate[int](t, tab, `performance.getEntriesByType("resource").length`); n != 0 {
		t.Errorf("the page made %d requests", n)
	}
	checkLooks(t, tab)
}

// checkLooks sees the page on a phone, in the dark and on paper.
func checkLooks(t *testing.T, tab context.Context) {
	t.Helper()
	bright := evaluate[string](t, tab, `getComputedStyle(document.body).backgroundColor`)
	phone := chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(1), chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	if err := chromedp.Do(tab, phone); err != nil {
		t.Fatal(err)
	}
	if w := evaluate[int](t, tab, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("the page is %d px wide on a screen of 390", w)
	}
	if size := evaluate[float64](t, tab, `Math.min(...[...document.querySelectorAll("svg text")].map(e => e.getBoundingClientRect().height).filter(h => h > 0))`); size < 9 {
		t.Errorf("labels are %v px high on a phone", size)
	}
	emulate(t, tab, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	// As of WCAG: the luminance of the background against that of the axis labels.
	contrast := `(() => {
		const light = c => { const [r, g, b] = c.match(/\d+/g).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
			return .2126 * r + .7152 * g + .0722 * b }
		const a = light(getComputedStyle(document.querySelector("figure")).backgroundColor), b = light(getComputedStyle(document.querySelector("svg text")).fill)
		return (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
	})()`
	dark := evaluate[string](t, tab, `getComputedStyle(document.body).backgroundColor`)
	if dark == bright || evaluate[float64](t, tab, contrast) < 7 {
		t.Errorf("dark: background %s, as in the light %s; contrast %v", dark, bright, evaluate[float64](t, tab, contrast))
	}
	emulate(t, tab, emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	if c := evaluate[float64](t, tab, contrast); c < 7 || evaluate[string](t, tab, `getComputedStyle(document.body).backgroundColor`) != "rgba(0, 0, 0, 0)" {
		t.Errorf("print: contrast %v, on a background", c)
	}
}

func emulate(t *testing.T, tab context.Context, p emulation.SetEmulatedMediaParams) {
	t.Helper()
	err := chromedp.Do(tab, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, p)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func TestPageNamesFaults(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.html")
	url := servertest.Start(t, &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
		if conn == 3 && message == 10 {
			return [][]byte{}
		}
		return nil
	}})
	var said strings.Builder
	args := []string{"--clients=5", "--messages=20", "--warmup=0", "--settle=0s", "--loss-timeout=3s", "--fail-if=lost>0", "--html", path, url}
	if status := runMain(t.Context(), args, &said, &said); status != exitFaulty {
		t.Fatalf("exit status %d\n%s", status, said.String())
	}
	tab := openPage(t, path)
	text := evaluate[string](t, tab, `document.body.innerText`)
	for _, words := range []string{"The server failed its clients", `failed by --fail-if "lost>0": lost is 1`} {
		if !strings.Contains(text, words) {
			t.Errorf("the page does not say %q:\n%s", words, text)
		}
	}
	if bad := evaluate[string](t, tab, `document.querySelector("td.bad").parentElement.innerText`); !strings.Contains(bad, "lost\t1\t") {
		t.Errorf("marked as bad: %q", bad)
	}
}

func TestComparisonIsAPageToo(t *testing.T) {
	t.Parallel()
	floor := selfCommand(t, "floor --listen 127.0.0.1:$PORT")
	for _, test := range []struct {
		args  []string
		want  []string // titles of the plots
		words []string
	}{
		{
			[]string{"compare", "--clients=20", "--messages=20", "--rounds=2"},
			[]string{"server CPU µs/delivery", "deliveries/s", "latency p50 µs", "latency p99 µs", "bytes/delivery", "resident MB", "own CPU µs/delivery"},
			[]string{"No server failed its clients", "2 rounds", "A'", "1.000 to 1.000"},
		},
		{
			[]string{"compare", "--at=10,30", "--messages=20", "--no-noise", "--rounds=1"},
			[]string{
				"latency p50 ms", "latency p99 ms", "server CPU µs/delivery", "server CPU µs/connection", "resident MB", "bytes/idle connection",
				"own CPU µs/delivery",
			},
			[]string{"No server failed its clients", "loadtest compare --at=10,30", "×1"},
		},
	} {
		t.Run(test.args[1], func(t *testing.T) {
			t.Parallel() // It waits more than it works.
			path := filepath.Join(t.TempDir(), "comparison.html")
			var said strings.Builder
			args := append(test.args, "--warmup=1", "--settle=0s", "--loss-timeout=20s", "--quiet", "--html", path, "--spawn", floor, "--spawn", floor)
			if status := runMain(t.Context(), args, &said, &said); status != exitOK {
				t.Fatalf("exit status %d\n%s", status, said.String())
			}
			tab := openPage(t, path)
			if titles := evaluate[[]string](t, tab, `[...document.querySelectorAll("figcaption")].map(e => e.innerText)`); !slices.Equal(titles, test.want) {
				t.Errorf("plots %q, want %q", titles, test.want)
			}
			text := evaluate[string](t, tab, `document.body.innerText`)
			for _, words := range test.words {
				if !strings.Contains(text, words) {
					t.Errorf("the page does not say %q:\n%s", words, text)
				}
			}
			checkLooks(t, tab)
		})
	}
}
