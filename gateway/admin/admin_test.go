package admin

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
)

// P04. No key and a wrong one are told apart from a key that is for other rooms.
func TestP04_WhoMayAsk(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	for _, one := range []struct {
		what   string
		path   string
		fields []string
		status int
		text   string
	}{
		{"Bearer", "/api/rooms", nil, 200, "total"},
		{"apikey, as Centrifugo's clients send it", "/api/rooms", []string{"Authorization", "apikey " + testKey}, 200, "total"},
		{"in other letters", "/api/rooms", []string{"Authorization", "BEARER  " + testKey}, 200, "total"},
		{"X-API-Key", "/api/rooms", []string{"Authorization", "", "X-API-Key", testKey}, 200, "total"},
		{"none", "/api/rooms", []string{"Authorization", ""}, 401, "needs an API key"},
		{"a wrong one", "/api/rooms", []string{"Authorization", "Bearer " + testKey + "x"}, 401, "none of"},
		{"half of one", "/api/rooms", []string{"Authorization", "Bearer " + testKey[:20]}, 401, "none of"},
		{"an empty one", "/api/rooms", []string{"Authorization", "Bearer "}, 401, ""},
		{"another scheme", "/api/rooms", []string{"Authorization", "Basic " + testKey}, 401, "none of"},
		{"in the query", "/api/rooms?api_key=" + testKey, []string{"Authorization", ""}, 401, "not taken from the URL"},
		{"none, where nothing is", "/nothing", []string{"Authorization", ""}, 401, "needs an API key"},
		{"for some rooms, about one of them", "/api/rooms/ticker.a", []string{"Authorization", "Bearer " + roomsKey}, 404, "no_room"},
		{"for some rooms, about another", "/api/rooms/lobby", []string{"Authorization", "Bearer " + roomsKey}, 403, "other rooms"},
		{"for some rooms, about all", "/api/rooms", []string{"Authorization", "Bearer " + roomsKey}, 403, "all of them"},
		{"for some rooms, about a connection", "/api/connections/0.1", []string{"Authorization", "Bearer " + roomsKey}, 403, "all of them"},
	} {
		a := s.ask("GET", one.path, "", one.fields...)
		s.expect(one.what, a, one.status, one.text)
		if isAsked := a.header.Get("WWW-Authenticate") != ""; isAsked != (one.status == 401) {
			t.Errorf("%s: WWW-Authenticate %t", one.what, isAsked)
		}
		if strings.Contains(a.body, testKey) {
			t.Errorf("%s: the answer repeats the key", one.what)
		}
	}
	c := s.join("ticker.a")
	s.expect("publishing into its rooms", s.publish("ticker.a", "1", "Authorization", "Bearer "+roomsKey), 200, `{"members":1}`)
	s.expect("publishing into others", s.publish("lobby", "1", "Authorization", "Bearer "+roomsKey), 403, "other rooms")
	_ = c
}

// Keys change while connections are there.
func TestKeysAreReplacedAtOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	s.expect("before", s.ask("GET", "/api/rooms", ""), 200, "")
	next, err := ParseKeys("another-key-than-before\n# " + testKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.handler.Reload(Options{Keys: next, AllowHost: []string{"other.test"}}); err != nil {
		t.Fatal(err)
	}
	s.expect("the old one", s.ask("GET", "/api/rooms", ""), 401, "")
	other := []string{"X-API-Key", "another-key-than-before", "Authorization", ""}
	s.expect("the new one", s.ask("GET", "/api/rooms", "", other...), 200, "")
	s.expect("another host", s.ask("GET", "/api/rooms", "", append(other, "Host", "other.test")...), 200, "")
	s.expect("the old host", s.ask("GET", "/api/rooms", "", append(other, "Host", "sluice.test")...), 403, "")
	if err := s.handler.Reload(Options{AllowHost: []string{"http://"}}); err == nil {
		t.Error("no host was taken for one")
	}
	s.expect("as it was", s.ask("GET", "/api/rooms", "", other...), 200, "")
}

func TestKeyFilesAreJudgedWithoutRepeatingThem(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "no key in it",
		"# only a comment\n\n":                "no key in it",
		"short-secret":                        "line 1: a key must have at least 16",
		"\nlong-enough-to-be-one\nx":          "line 3",
		"not-of-ascii-\u00e4\u00f6\u00fc-abc": "line 1: a key must be of visible ASCII",
		"long-enough-to-be-one [a":            "line 1: the rooms of a key are patterns",
		"long-enough-to-be-one # backends":    "line 1: the rooms of a key are patterns",
		"long-enough-to-be-one a\nlong-enough-to-be-one": "line 2: the key stands in a line before",
	} {
		_, err := ParseKeys(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "long-enough") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	one, other := NewKey(), NewKey()
	k, err := ParseKeys("# mine\n" + one + "\r\n\t" + other + " a.* b\n")
	if err != nil || one == other || len(one) < 40 {
		t.Fatalf("%q, %q: %v", one, other, err)
	}
	if first, second := k.find(one), k.find(other); first == nil || !first.isForAll() || second == nil || second.isForAll() || len(second.holder.Grants[0].Rooms) != 2 || k.find("") != nil {
		t.Errorf("found %v and %v", first, second)
	}
}

// Pages of other origins, and names that lead here by somebody else's will.
func TestPagesOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	own := "http://" + s.admin
	for _, one := range []struct {
		what   string
		fields []string
		status int
	}{
		{"its own page", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200},
		{"typed into the browser", []string{"Sec-Fetch-Site", "none"}, 200},
		{"another origin", []string{"Origin", "https://evil.example"}, 403},
		{"another port", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"no origin that it would name", []string{"Origin", "null"}, 403},
		{"another site without an Origin", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another origin of its site", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"localhost", []string{"Host", "localhost:8081"}, 200},
		{"a listed name", []string{"Host", "sluice.test"}, 200},
		{"a name that was made to lead here", []string{"Host", "rebound.example:8081"}, 403},
		{"the same by its page", []string{"Host", "rebound.example", "Origin", "http://rebound.example"}, 403},
	} {
		a := s.ask("GET", "/api/rooms", "", one.fields...)
		s.expect(one.what, a, one.status, "")
		if a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", one.what, a.header)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	for _, one := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/api/nothing", 404, ""},
		{"POST", "/api/nothing", 404, ""},
		{"POST", "/api/rooms", 405, "GET, HEAD"},
		{"PUT", "/api/rooms/lobby/messages", 405, "DELETE, GET, HEAD, POST"},
		{"GET", "/api/rooms/lobby/messages", 404, ""},
		{"GET", "/api/publish", 405, "POST"},
		{"PUT", "/api/connections", 405, "DELETE, GET, HEAD"},
		{"OPTIONS", "/api/connections/0.1", 405, "DELETE, GET, HEAD"},
	} {
		a := s.ask(one.method, one.path, "")
		s.expect(one.method+" "+one.path, a, one.status, `{"error":{"code":`)
		if a.header.Get("Allow") != one.allow || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: Allow %q, type %q", one.method, one.path, a.header.Get("Allow"), a.header.Get("Content-Type"))
		}
	}
}

// A client that may connect to a unix socket needs no key; what a proxy passes on for a page is
// refused there, too.
func TestUnixSocketNeedsNoKey(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		testenv.LeaveOut(t, "there are no unix sockets: %v", err)
	}
	serve(t, s.handler, l)
	transport := &http.Transport{DialContext: dialerTo(path)}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport, Timeout: testenv.Patience}
	s.expect("without a key", s.publish("lobby", "x", "Authorization", "", "Host", "docker"), 200, `{"members":0}`)
	s.expect("a page behind a proxy", s.publish("lobby", "x", "Authorization", "", "Origin", "https://evil.example"), 403, "origin")
}

// O04. What is for operators is not where clients come.
func TestO04_NothingForOperatorsIsOnTheClientsListener(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	s.admin = s.clients
	for _, path := range []string{"/api/rooms", "/api/connections", "/api/openapi.json", "/api", "/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		s.expect(path, s.ask("GET", path, ""), 404, "")
	}
	s.expect("publishing", s.publish("lobby", "x"), 404, "")
}
