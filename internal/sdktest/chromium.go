package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
	"sluice/internal/realclients"
)

// A chromium is npm's SDK on a page, which is of an origin of its own.
type chromium struct {
	*remote
	stop  context.CancelFunc
	ended sync.WaitGroup
	once  sync.Once
}

const page = `<!doctype html><meta charset=utf-8><script src=/sdk.js></script><script src=/drive.js></script>`

// bridge keeps lines until they are fetched: next answers with those that there are, once there are
// some.
const bridge = `(() => {
	let lines = [], wake = () => {};
	window.next = async () => {
		if (!lines.length) await new Promise((done) => { wake = done; setTimeout(done, 500); });
		return lines.splice(0);
	};
	const print = (line) => { lines.push(JSON.stringify(line)); wake(); };
	const act = drive(Centrifuge, %s, {}, print);
	window.act = (command) => { act(command).then((answer) => print({ kind: "answer", to: command.id, ...answer })); return true; };
	return true;
})()`

func openChromium(t testing.TB, o Options) SDK {
	t.Helper()
	sdk, drive := realclients.CentrifugeForPages(t)
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) })
	pages.HandleFunc("/sdk.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, sdk) })
	pages.HandleFunc("/drive.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, drive) })
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)

	tab, stop := context.WithCancel(browsertest.Start(t))
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &chromium{remote: newRemote(t), stop: stop}
	c.send = func(todo command) error {
		text, err := json.Marshal(todo)
		if err != nil {
			return err
		}
		_, err = chromedp.Run(tab, chromedp.Evaluate[bool](fmt.Sprintf("act(%s)", text)))
		return err
	}
	if err := chromedp.Do(tab, chromedp.Navigate(server.URL)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(tab, chromedp.Evaluate[bool](fmt.Sprintf(bridge, options))); err != nil {
		t.Fatal(err)
	}
	c.ended.Go(func() { c.listen(tab) })
	t.Cleanup(c.Close)
	return c
}

// listen fetches what there is until the page is closed.
func (c *chromium) listen(tab context.Context) {
	for {
		lines, err := chromedp.Run(tab, chromedp.Evaluate[[]string]("next()", chromedp.EvalAwaitPromise))
		switch {
		case tab.Err() != nil:
			return
		case err != nil:
			c.t.Errorf("the page says nothing more: %v", err)
			return
		}
		for _, line := range lines {
			if err := c.heard([]byte(line)); err != nil {
				c.t.Error(err)
			}
		}
	}
}

func (c *chromium) Close() {
	c.once.Do(func() {
		c.must(command{Do: "disconnect"})
		c.stop()
		c.ended.Wait()
	})
}
