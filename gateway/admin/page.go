package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page
var embedded embed.FS

// pageTypes is fixed here because mime.TypeByExtension reads the host's tables.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pagePolicy lets the page run its own files and ask its own server, and nothing else: what a
// client has put into a line of the log does not become script.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// What the login says.
const (
	loginHint  = "One of those in the file that --admin-key-file names."
	loginWrong = "This is no key of those in the file that --admin-key-file names."
	loginRooms = "This key is for some rooms alone, and the page shows all of them."
)

// A page is the live page at /, with its files, its login and /status.json.
type page struct {
	handler  *Handler
	sessions *sessions
	status   statuser
	files    map[string][]byte // by path
	login    map[string][]byte // by what it says
}

// addPage adds routes that are open without a key: the page lets in who has logged in.
func (h *Handler) addPage(f Figures, o FigureOptions) {
	p := &page{
		handler: h, sessions: newSessions(h.clock.now), files: map[string][]byte{}, login: map[string][]byte{},
		status: statuser{figures: f, version: h.version, tail: o.Tail, now: h.clock.now},
	}
	names, _ := fs.Glob(embedded, "page/*")
	for _, name := range names {
		body, err := fs.ReadFile(embedded, name)
		if err != nil {
			panic(fmt.Sprintf("admin: embedded file %s: %v", name, err)) // Only a broken build lacks one.
		}
		p.files["/"+path.Base(name)] = body
	}
	login := template.Must(template.New("login").Parse(string(p.files["/login.html"])))
	for _, says := range []string{loginHint, loginWrong, loginRooms} {
		var b bytes.Buffer
		if err := login.Execute(&b, says); err != nil {
			panic(fmt.Sprintf("admin: login.html: %v", err))
		}
		p.login[says] = b.Bytes()
	}
	for name := range p.files {
		if path.Ext(name) != ".html" { // These are no secret, and the login needs some.
			h.HandleOpen("GET "+name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { send(w, r, http.StatusOK, name, p.files[name]) }))
		}
	}
	h.HandleOpen("GET /{$}", http.HandlerFunc(p.show))
	h.HandleOpen("GET /status.json", http.HandlerFunc(p.tell))
	h.HandleOpen("POST /login", http.HandlerFunc(p.logIn))
	h.HandleOpen("POST /logout", http.HandlerFunc(p.logOut))
	back := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, ".", http.StatusSeeOther) })
	h.HandleOpen("GET /login", back) // Somebody went back, or has a bookmark.
	h.HandleOpen("GET /logout", back)
}

// judge says why the request may not see figures, nil if it may. A key that it has decides as on
// every other route, whatever its browser's session is.
func (p *page) judge(r *http.Request) *fault {
	switch key := p.handler.keyOf(r); {
	case key != nil && !key.isForAll():
		return &faultWhole
	case key != nil || p.sessions.has(r, &p.handler.rules.Load().keys):
		return nil
	}
	return lacksKey(r)
}

func (p *page) show(w http.ResponseWriter, r *http.Request) {
	switch p.judge(r) {
	case nil:
		send(w, r, http.StatusOK, "/index.html", p.files["/index.html"])
	case &faultWhole:
		send(w, r, http.StatusForbidden, "/login.html", p.login[loginRooms])
	default:
		send(w, r, http.StatusOK, "/login.html", p.login[loginHint])
	}
}

func (p *page) tell(w http.ResponseWriter, r *http.Request) {
	if fault := p.judge(r); fault != nil {
		fault.write(w)
		return
	}
	body, status := p.status.newest(r.Context(), !isLocal(r))
	writeBytes(w, status, body)
}

// logIn takes the key from the form's body alone: what stands in an address is kept by histories
// and logs.
func (p *page) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, loginMax)
	if r.ParseForm() != nil {
		send(w, r, http.StatusBadRequest, "/login.html", p.login[loginWrong])
		return
	}
	key := p.handler.rules.Load().keys.find(strings.TrimSpace(r.PostForm.Get("key")))
	switch {
	case key == nil:
		p.handler.noteTurned(r, &faultKey)
		send(w, r, http.StatusUnauthorized, "/login.html", p.login[loginWrong])
	case !key.isForAll():
		send(w, r, http.StatusForbidden, "/login.html", p.login[loginRooms])
	default:
		http.SetCookie(w, p.sessions.open(key, r.TLS != nil))
		http.Redirect(w, r, ".", http.StatusSeeOther)
	}
}

func (p *page) logOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, p.sessions.over(r.TLS != nil))
	http.Redirect(w, r, ".", http.StatusSeeOther)
}

// send answers with a file. no-referrer would have browsers say Origin: null when they send the
// form, which is refused as a page of nobody's; other servers learn nothing with same-origin
// either.
func send(w http.ResponseWriter, r *http.Request, status int, name string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", pageTypes[path.Ext(name)])
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "same-origin")
	if status != http.StatusOK {
		w.WriteHeader(status)
		_, _ = w.Write(body) // The browser may be gone.
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
