package conformance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/realclients"
	"sluice/internal/wstest"
)

const adminKey = "sluice_a-key-of-tests"

// serveAdmin serves the API of a gateway on a listener, until the test ends.
func serveAdmin(t *testing.T, s *gateway.Server, network, address string) net.Listener {
	t.Helper()
	keys, err := admin.ParseKeys(adminKey)
	if err != nil {
		t.Fatal(err)
	}
	h, err := admin.New(s, admin.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := admin.NewServer(h, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	return l
}

// A page anywhere can have its visitor's browser send a POST to this machine, and not even see the
// answer. Where no key is asked for, as on a unix socket that a proxy leads to, nothing but what
// the browser says of the page keeps it out.
func TestChromiumPageOfAnotherOriginPublishesNothing(t *testing.T) {
	t.Parallel()
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	path := filepath.Join(t.TempDir(), "admin.sock")
	serveAdmin(t, s, "unix", path)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "admin"})
			r.Out.Host = r.In.Host
		},
	})
	t.Cleanup(proxy.Close)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<link rel=icon href='data:,'>a page")
	}))
	t.Cleanup(stranger.Close)
	c := wstest.Dial(t, addr, "/ws/r")

	p := page{t, browsertest.Start(t), nil}
	post := func(from, mode string) string {
		t.Helper()
		p.do(chromedp.Navigate(from))
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf(
			`fetch("%s/api/rooms/r/messages", {method: "POST", mode: %q, body: "by a page"}).then((r) => r.type + " " + r.status)`, proxy.URL, mode),
			chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, from := range []string{stranger.URL, strings.Replace(stranger.URL, "127.0.0.1", "localhost", 1)} {
		if got := post(from, "no-cors"); got != "opaque 0" {
			t.Errorf("from %s: %s", from, got)
		}
	}
	if info, ok := s.Room("r"); !ok || info.Messages != 0 {
		t.Errorf("a stranger's page has published: %+v, %t", info, ok)
	}
	if got := post(proxy.URL+"/api/openapi.json", "same-origin"); got != "basic 200" {
		t.Errorf("its own page: %s", got)
	}
	wstest.ExpectText(t, c, "by a page")
}

// Centrifugo's server library for JavaScript, as npm has it.
func TestCentJSPublishes(t *testing.T) {
	t.Parallel()
	client := realclients.Cent(t)
	o := gatewaytest.Options()
	o.History = []gateway.HistoryRule{{Pattern: "kept"}}
	s, addr := gatewaytest.Start(t, o)
	api := serveAdmin(t, s, "tcp", "127.0.0.1:0")
	a, b := wstest.Dial(t, addr, "/ws/a"), wstest.Dial(t, addr, "/ws/b")
	got := client.Publish(t, "http://"+api.Addr().String()+"/api", adminKey)
	want := []string{
		`publish {}`,
		`broadcast {"responses":[{"result":{}},{"result":{}}]}`,
		`presence stats {"num_clients":1,"num_users":1}`,
		`channels {"channels":{"a":{"num_clients":1},"b":{"num_clients":1}}}`,
		`info 1 node, 2 clients`,
		`disconnect {}`,
		`pipeline [{},{"num_clients":1,"num_users":1}]`,
		`history refused`,
		`kept [[{"data":{"price":3},"offset":1},{"data":"text","offset":2}],2,true]`,
		`kept since [[{"data":"text","offset":2}],2,true]`,
		`kept since another epoch refused`,
		`remove {}`,
		`removed [[],2,true]`,
		`a wrong key refused`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wstest.ExpectText(t, a, `{"price":1}`)
	wstest.ExpectText(t, a, "to both")
	wstest.ExpectText(t, a, `{"price":2}`)
	wstest.ExpectText(t, b, "to both")
}
