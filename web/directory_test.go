package web

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestDirectoryShowsItsFilesAndNothingElse(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "public")
	for name, text := range map[string]string{
		"secret": "outside", "public/index.html": "<p>front", "public/app.js": "run()", "public/sub/page.html": "<p>page",
		"public/.env": "password", "public/.git/config": "url", "public/.well-known/security.txt": "Contact:", "public/with/index.html": "<p>with",
	} {
		name = filepath.Join(outer, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	h, err := Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, "<p>front"},
		{"GET", "/app.js", 200, "run()"},
		{"HEAD", "/app.js", 200, ""},
		{"GET", "/sub/page.html", 200, "<p>page"},
		{"GET", "/with/", 200, "<p>with"},
		{"GET", "/.well-known/security.txt", 200, "Contact:"},
		{"GET", "/with", 301, ""},
		{"GET", "/sub/", 404, ""},
		{"GET", "/.env", 404, ""},
		{"GET", "/.git/config", 404, ""},
		{"GET", "/link", 404, ""},
		{"GET", "/../secret", 404, ""},
		{"GET", "/none", 404, ""},
		{"POST", "/app.js", 405, ""},
		{"OPTIONS", "/", 204, ""},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, "http://localhost"+c.path, http.NoBody)
		h.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != c.status || w.Code == 200 && body != c.body || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: %d %q %v, want %d %q", c.method, c.path, w.Code, body, w.Header(), c.status, c.body)
		}
		if c.path == "/app.js" && w.Code == 200 && w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("a script is served as %s", w.Header().Get("Content-Type"))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "app.js"), []byte("other()"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/app.js", nil))
	if w.Body.String() != "other()" {
		t.Errorf("a file that changed is served as %q", w.Body)
	}
	if _, err := Directory(filepath.Join(outer, "none")); err == nil {
		t.Error("a directory that is not there is served")
	}
}
