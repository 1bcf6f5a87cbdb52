// Package web is the ordinary HTTP of the gateway's port: the demo page with its static files.
//
// Everything it serves is embedded in the binary and the page asks nobody else for anything, so it
// works on a machine without a network. It knows nothing of rooms or sockets:
// /connection/websocket, which the page speaks to, /ws, /ws/{room} and /livez are answered on the
// gateway's loops and never come here.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var embedded embed.FS

// contentTypes is fixed here because mime.TypeByExtension reads the host's tables, and a module
// script served under a type that some host made up is refused by every browser (nosniff makes that
// strict).
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// contentSecurityPolicy lets the page run its own files and nothing else; text that a stranger sent
// into a room can then not become script even if the page had a bug. 'self' in connect-src covers
// ws: and wss: of the same host and port (CSP Level 3 §6.7.2.8, "scheme-part match").
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Options is what the page needs to know of the program that serves it.
type Options struct {
	// Version is shown at the foot of the page, as plain text. Empty shows no version.
	Version string
}

// asset is one static file, ready to be sent. Immutable once made.
type asset struct {
	body        []byte
	contentType string
	etag        string
}

// New returns the handler for every path the reactor does not serve itself: GET, HEAD and OPTIONS
// of / and of the page's static files; 405 for other methods on these; 404 for the rest. It may be
// called from any number of goroutines. It panics if the embedded files are damaged, which only a
// broken build can do.
func New(o Options) http.Handler {
	s := &site{assets: make(map[string]asset)}
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err))
	}
	names, err := fs.Glob(static, "*")
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err))
	}
	for _, name := range names {
		if name == "index.html" {
			s.assets["/"] = newAsset(name, renderIndex(static, o))
			continue
		}
		body, err := fs.ReadFile(static, name)
		if err != nil {
			panic(fmt.Sprintf("web: embedded file %s: %v", name, err))
		}
		s.assets["/"+name] = newAsset(name, body)
	}
	return s
}

// renderIndex fills the options into the page, once: what is served afterwards is bytes.
func renderIndex(static fs.FS, o Options) []byte {
	var page bytes.Buffer
	t := template.Must(template.ParseFS(static, "index.html"))
	if err := t.Execute(&page, o); err != nil {
		panic(fmt.Sprintf("web: index.html: %v", err))
	}
	return page.Bytes()
}

// newAsset derives the validator from the content: embedded files have no modification time, and
// two builds of the same page should share a cache entry.
func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	return asset{
		body:        body,
		contentType: contentTypes[path.Ext(name)],
		etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
}

// site is the handler; read-only after New.
type site struct {
	assets map[string]asset
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")

	a, isAsset := s.assets[r.URL.Path]
	switch {
	case !isAsset:
		plain(w, http.StatusNotFound, "404: nothing here. The page is at / and WebSockets are at /ws and /ws/{room}.\n")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		serveAsset(w, r, a)
	case r.Method == http.MethodOptions: // A balancer's way to ask whether anybody is there.
		h.Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Set("Allow", allowed)
		plain(w, http.StatusMethodNotAllowed, "405: only GET, HEAD and OPTIONS are answered here.\n")
	}
}

const allowed = "GET, HEAD, OPTIONS"

// serveAsset sends a static file. no-cache means "ask again with the ETag", so that a new version
// of the gateway is seen at the next load and an unchanged one costs a 304.
func serveAsset(w http.ResponseWriter, r *http.Request, a asset) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.etag)
	// The zero time leaves Last-Modified out; ServeContent does HEAD, If-None-Match and ranges (RFC
	// 9110 §13, §14).
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}

// plain answers with a line of text that nobody may keep. net/http drops the body of a HEAD by
// itself.
func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here means that the client has gone, and nobody reads the rest.
	_, _ = io.WriteString(w, text)
}
