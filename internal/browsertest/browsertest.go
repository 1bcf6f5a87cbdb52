// Package browsertest starts a real Chromium for tests of the demo page. It drives the browser by
// chromedp and keeps it from asking anything of the network: only loopback names resolve, and
// ReboundName.
//
// Without a Chromium the calling test is skipped, with the reason; with SLUICE_CI=1 in the
// environment a missing one is a failure, so that a build machine cannot go green by lacking the
// tool.
package browsertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// closeTimeout bounds the graceful end of a browser; a killed one would leave a folder in the
// temporary directory.
const closeTimeout = 10 * time.Second

// ReboundName is the one name that leads to this machine beside localhost, as a stranger may have
// his lead here.
const ReboundName = "rebound.test"

// unwanted are features that a window or a tab costs a process each, which work all the time: a
// page that nobody looks at beside each address bar, and a process for whichever site comes next.
// The first two are unwanted by chromedp itself.
const unwanted = "Translate,BlinkGenPropertyTrees," +
	"WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,SpareRendererForSitePerProcess"

// shell is Chromium without its windows, as Debian's package chromium-headless-shell has it: the
// same engine, for two thirds of the processor's time. The script of that name in PATH would not
// take the browser along when it is killed.
const shell = "/usr/lib/chromium/chromium-headless-shell"

// names are the programs looked for, in this order.
var names = []string{shell, "chromium", "chromium-browser", "google-chrome"}

// Start opens a tab with a window of 1280 by 800 in a browser without memory of others: no cookies,
// no storage, no cache of theirs. It is closed with the test. Behind it is one headless Chromium
// for all tests of the package, which Stop ends. Call it from the test's own goroutine.
func Start(t testing.TB) context.Context {
	t.Helper()
	program := find(t)
	browser, err := launch(program)
	if err != nil {
		t.Fatalf("browsertest: starting %s: %v\n%s", program, err, output)
	}
	tab, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("browsertest: %s has printed so far:\n%s", program, output)
		}
	})
	t.Cleanup(func() { end(t, tab, cancel) })
	// The tab lives as long as the context of this first call, so it must have no deadline.
	if err := chromedp.Do(tab, chromedp.EmulateViewport(1280, 800)); err != nil {
		t.Fatalf("browsertest: opening a tab: %v", err)
	}
	return tab
}

var (
	output = new(buffer) // what the browser printed
	mu     sync.Mutex
	shared context.Context // of the browser, once it was launched
	stop   func()          // ends it
)

// launch returns the package's browser, and starts it if need be.
func launch(program string) (context.Context, error) {
	mu.Lock()
	defer mu.Unlock()
	if shared != nil {
		return shared, nil
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // Chromium refuses to run as root with it, and containers run tests as root.
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-features", unwanted),
		chromedp.Flag("host-resolver-rules", "MAP "+ReboundName+" 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]"),
		chromedp.Flag("force-prefers-reduced-motion", true), // Or each round trip is 21 frames of the page's plot.
		chromedp.Flag("log-level", "3"),
		chromedp.CombinedOutput(output),
		chromedp.WSURLReadTimeout(time.Minute), // Starting takes long on a busy machine.
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancel := chromedp.NewContext(allocator)
	stop = func() {
		limited, done := context.WithTimeout(browser, closeTimeout)
		defer done()
		_ = chromedp.Cancel(limited) // Killed after that, by cancel.
		cancel()
		stopAllocator()
	}
	if err := chromedp.Do(browser); err != nil {
		stop()
		stop = nil
		return nil, err
	}
	shared = browser
	return browser, nil
}

// Stop ends the package's browser, if there is one. It is for TestMain, behind the tests.
func Stop() {
	mu.Lock()
	defer mu.Unlock()
	if stop != nil {
		stop()
	}
}

// NewTab opens one more tab beside that of Start, with the same memory. It is closed with the test.
func NewTab(t testing.TB, browser context.Context) context.Context {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	t.Cleanup(func() { end(t, tab, cancel) })
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("browsertest: opening a tab: %v", err)
	}
	return tab
}

// end closes a tab. Of one whose test has failed a picture stays in the temporary directory.
func end(t testing.TB, tab context.Context, cancel func()) {
	defer cancel()
	if !t.Failed() {
		return
	}
	limited, done := context.WithTimeout(tab, closeTimeout)
	defer done()
	picture, err := chromedp.Run(limited, chromedp.CaptureScreenshot())
	if err != nil {
		t.Logf("browsertest: there is no picture of the tab: %v", err)
		return
	}
	f, err := os.CreateTemp("", "browsertest-*.png")
	if err == nil {
		_, err = f.Write(picture)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Logf("browsertest: %v", err)
		return
	}
	t.Logf("browsertest: the tab at its end: %s", f.Name())
}

// ConsoleErrors collects what goes wrong in a tab from now on: console.error, uncaught exceptions,
// unhandled rejections, failed loads, violations of the content security policy. Call it before the
// tab navigates. The returned function may be called at any time, from any goroutine, and gives
// what was seen so far.
func ConsoleErrors(t testing.TB, tab context.Context) func() []string {
	t.Helper()
	listening, stop := context.WithCancel(tab)
	t.Cleanup(stop)
	messages := chromedp.Console(listening)
	var mu sync.Mutex
	var seen []string
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type != "error" && m.Type != chromedp.ConsoleException {
				continue
			}
			mu.Lock()
			seen = append(seen, fmt.Sprintf("%s: %s (%s:%d)", m.Type, m.Text, m.URL, m.Line+1))
			mu.Unlock()
		}
	}()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// find returns the browser's path, or ends the test.
func find(t testing.TB) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("SLUICE_CI") == "1" {
		t.Fatalf("browsertest: SLUICE_CI=1 but there is none of %v", names)
	}
	t.Skipf("browsertest: there is none of %v", names)
	return ""
}

// buffer is a bytes.Buffer that the browser's output goroutine and the test may use at once.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
