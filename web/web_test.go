package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func request(t *testing.T, method, path string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	New(Options{Version: "v1.2.3"}).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(b.String(), "\r\n\r\n")
	return after
}

func TestRoutesAnswerWithStatusTypeAndCaching(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		contentType  string
		cache        string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/?x=1", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/app.js", 200, "text/javascript; charset=utf-8", "no-cache"},
		{"GET", "/connection.js", 200, "text/javascript; charset=utf-8", "no-cache"},
		{"GET", "/style.css", 200, "text/css; charset=utf-8", "no-cache"},
		{"GET", "/favicon.svg", 200, "image/svg+xml", "no-cache"},
		{"POST", "/", 405, "text/plain; charset=utf-8", "no-store"},
		{"DELETE", "/app.js", 405, "text/plain; charset=utf-8", "no-store"},
		{"OPTIONS", "/", 204, "", ""},
		{"OPTIONS", "/app.js", 204, "", ""},
		{"OPTIONS", "/nothing", 404, "text/plain; charset=utf-8", "no-store"},
		{"options", "/", 405, "text/plain; charset=utf-8", "no-store"},
		{"GET", "/livez", 404, "text/plain; charset=utf-8", "no-store"}, // The gateway itself answers it.
		{"GET", "/index.html", 404, "text/plain; charset=utf-8", "no-store"},
		{"GET", "/static/app.js", 404, "text/plain; charset=utf-8", "no-store"},
		{"GET", "//app.js", 404, "text/plain; charset=utf-8", "no-store"},
		{"GET", "/../web.go", 404, "text/plain; charset=utf-8", "no-store"},
		{"POST", "/nothing", 404, "text/plain; charset=utf-8", "no-store"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res := request(t, tt.method, "http://gateway.test"+tt.path, nil)
			if res.StatusCode != tt.status {
				t.Errorf("status = %d, want %d", res.StatusCode, tt.status)
			}
			if got := res.Header.Get("Content-Type"); got != tt.contentType {
				t.Errorf("Content-Type = %q, want %q", got, tt.contentType)
			}
			if got := res.Header.Get("Cache-Control"); got != tt.cache {
				t.Errorf("Cache-Control = %q, want %q", got, tt.cache)
			}
			if got := res.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options = %q, want nosniff", got)
			}
			if got := res.Header.Get("Referrer-Policy"); got != "no-referrer" {
				t.Errorf("Referrer-Policy = %q, want no-referrer", got)
			}
			if allow := res.Header.Get("Allow"); (allow == "GET, HEAD, OPTIONS") != (tt.status == 405 || tt.status == 204) {
				t.Errorf("Allow = %q with status %d", allow, tt.status)
			}
		})
	}
}

// Over a real connection, because a recorder keeps the body that net/http would drop.
func TestHeadHasTheLengthOfGetAndNoBody(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	for _, path := range []string{"/", "/style.css"} {
		get, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		length := int64(len(body(t, get)))
		head, err := http.Head(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		// net/http leaves the length of a HEAD out where the handler did not set it.
		if head.ContentLength != length && head.ContentLength != -1 {
			t.Errorf("HEAD %s: length %d, GET has %d", path, head.ContentLength, length)
		}
		if got := body(t, head); got != "" {
			t.Errorf("HEAD %s: body of %d bytes", path, len(got))
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	etag := request(t, "GET", "/style.css", nil).Header.Get("ETag")
	if !regexp.MustCompile(`^"[\w-]{16}"$`).MatchString(etag) {
		t.Fatalf("ETag = %q, want a strong one of 16 characters", etag)
	}
	res := request(t, "GET", "/style.css", http.Header{"If-None-Match": {etag}})
	if res.StatusCode != http.StatusNotModified || body(t, res) != "" || res.Header.Get("ETag") != etag {
		t.Errorf("with its ETag: status %d, ETag %q", res.StatusCode, res.Header.Get("ETag"))
	}
	if res := request(t, "GET", "/style.css", http.Header{"If-None-Match": {`"other"`}}); res.StatusCode != 200 {
		t.Errorf("with another ETag: status %d, want 200", res.StatusCode)
	}
}

func TestPageChangesItsETagWithTheVersion(t *testing.T) {
	etag := func(version string) string {
		w := httptest.NewRecorder()
		New(Options{Version: version}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return w.Header().Get("ETag")
	}
	first, again, other := etag("v1"), etag("v1"), etag("v2")
	if first != again || first == other {
		t.Errorf("ETags %q and %q for v1, %q for v2", first, again, other)
	}
}

func TestVersionIsShownAsText(t *testing.T) {
	w := httptest.NewRecorder()
	New(Options{Version: "<b>1"}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if page := w.Body.String(); !strings.Contains(page, "Sluice &lt;b&gt;1") {
		t.Error("the page does not contain the escaped version")
	}
}

func TestPolicyForbidsInlineScriptAndStyle(t *testing.T) {
	policy := request(t, "GET", "/", nil).Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy lacks %q: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("policy is too wide: %s", policy)
	}
	page := body(t, request(t, "GET", "/", nil))
	if inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:[^>]*)>[^<]`).FindString(page); inline != "" {
		t.Errorf("the page has inline script or style, which its policy forbids: %q", inline)
	}
}

func TestStaticFilesNameNoOtherHost(t *testing.T) {
	outside := regexp.MustCompile(`(?i)(?:https?:|wss?:|["'(])//[^\s"']+`)
	err := fs.WalkDir(embedded, "static", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(embedded, path)
		if err != nil {
			return err
		}
		// A namespace is a name and is never fetched.
		text := strings.ReplaceAll(string(content), `xmlns="http://www.w3.org/2000/svg"`, "")
		for _, url := range outside.FindAllString(text, -1) {
			t.Errorf("%s names another host: %s", path, url)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryStaticFileHasAContentType(t *testing.T) {
	for path, a := range New(Options{}).(*site).assets {
		if a.contentType == "" {
			t.Errorf("%s would be served without a Content-Type", path)
		}
	}
}
