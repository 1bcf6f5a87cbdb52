// Package admin lets backends publish and operators look, over HTTP: an [http.Handler] for a
// listener that is not the clients'. It owns who may ask: keys, host names, pages. What is asked
// goes to the gateway through the small interface [Gateway]; this package knows no loop and no
// connection.
package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"sluice/gateway"
	"sluice/gateway/internal/sample"
	"sluice/wsproto"
)

// Options say who may ask, and how often. The zero Options let nobody in but by a unix socket.
type Options struct {
	// Keys are those that open it. A client that comes by a unix socket needs none: its file says
	// who may.
	Keys Keys
	// AllowHost lists host names that it may be asked under besides localhost and addresses, as
	// app.example.com or *.example.com; "*" is any. A page's owner could have the page's name lead
	// here.
	AllowHost []string
	// PublishRate is how many messages a second one key may publish, in bursts of as many. Zero: no
	// limit. Those who need no key share one.
	PublishRate int
	// Version is told by /api/info.
	Version string
	// Log hears of those who are turned away, at most once a second. Nil: nobody does.
	Log *slog.Logger
}

// A Handler answers on the admin listener. Routes are added before it serves.
type Handler struct {
	gateway Gateway
	version string
	log     *slog.Logger
	clock   clock

	mux     *http.ServeMux
	routes  map[string]bool // patterns, and whether they are open without a key
	rules   atomic.Pointer[rules]
	local   Key // whoever needs none
	repeats repeats
	turned  sample.Sample
}

// rules are what may change while it serves.
type rules struct {
	keys  Keys
	hosts wsproto.HostPolicy
	rate  int64
}

// Handle adds a route that a key opens. The pattern is that of http.ServeMux, with its method.
func (h *Handler) Handle(pattern string, to http.Handler) {
	h.routes[pattern] = false
	h.mux.Handle(pattern, to)
}

// HandleOpen adds a route that is open without a key. Hosts and pages are judged there all the
// same.
func (h *Handler) HandleOpen(pattern string, to http.Handler) {
	h.routes[pattern] = true
	h.mux.Handle(pattern, to)
}

// Reload makes it go by other keys, host names and another rate, at once and for connections that
// are there as well. After an error all stays as it was.
func (h *Handler) Reload(o Options) error {
	hosts, err := wsproto.ParseHosts(o.AllowHost)
	if err != nil {
		return err
	}
	if was := h.rules.Load(); was != nil {
		o.Keys.keepRates(&was.keys)
	}
	h.rules.Store(&rules{keys: o.Keys, hosts: hosts, rate: int64(o.PublishRate)})
	return nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	if len(r.TransferEncoding) > 0 {
		head.Set("Connection", "close") // Nobody is to disagree with us about where its end is (RFC 9112 §6.1).
	}
	key := h.keyOf(r)
	if key == nil && r.ContentLength != 0 {
		giveWay(r) // Its body may never come.
	}
	if fault := h.judgePage(r); fault != nil {
		h.turnAway(w, r, fault)
		return
	}
	_, pattern := h.mux.Handler(r)
	if key == nil && !h.routes[pattern] {
		h.turnAway(w, r, lacksKey(r))
		return
	}
	if key == nil {
		head.Set("Connection", "close") // Places are for those with a key.
	} else {
		r = r.WithContext(context.WithValue(r.Context(), keyContext{}, key))
	}
	if pattern == "" {
		h.noRoute(w, r)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// judgePage refuses what a browser asks for on behalf of a page that is not ours: a page anywhere
// can have its visitor's browser send requests to this machine. Programs send none of these
// headers.
func (h *Handler) judgePage(r *http.Request) *fault {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return &faultOrigin
	}
	for _, origin := range r.Header.Values("Origin") {
		if !wsproto.IsSameHost([]byte(origin), []byte(r.Host)) {
			return &faultOrigin
		}
	}
	if !isLocal(r) && !h.rules.Load().hosts.IsOwn([]byte(r.Host)) {
		return &faultHost
	}
	return nil
}

// isLocal reports whether a request came by a unix socket, which no page reaches by itself.
func isLocal(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && addr.Network() == "unix" && !strings.HasPrefix(addr.String(), "@") // That has no file, and no mode.
}

type keyContext struct{}

// keyOf is the key that a request comes with, nil for none that is ours.
func (h *Handler) keyOf(r *http.Request) *Key {
	if isLocal(r) {
		return &h.local
	}
	given := r.Header.Get("X-API-Key")
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "apikey") {
			given = strings.TrimSpace(rest)
		}
	}
	return h.rules.Load().keys.find(given)
}

// usedKey is the key that opened the route.
func usedKey(r *http.Request) *Key { return r.Context().Value(keyContext{}).(*Key) }

// lacksKey says what is wrong with a request without a key of ours.
func lacksKey(r *http.Request) *fault {
	for name := range r.URL.Query() {
		if n := strings.ToLower(name); n == "api_key" || n == "apikey" || n == "key" || n == "token" {
			return &faultQueryKey
		}
	}
	if r.Header.Get("Authorization") == "" && r.Header.Get("X-API-Key") == "" {
		return &faultNoKey
	}
	return &faultKey
}

// turnAway refuses a request for who sends it.
func (h *Handler) turnAway(w http.ResponseWriter, r *http.Request, f *fault) {
	h.noteTurned(r, f)
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
	}
	w.Header().Set("Connection", "close")
	f.write(w)
}

func (h *Handler) noteTurned(r *http.Request, f *fault) {
	if skipped, ok := h.turned.Take(h.clock.now()); ok {
		h.log.Info("refused on the admin listener", "reason", f.Code, "status", f.status, "from", clip(r.RemoteAddr),
			"method", clip(r.Method), "path", clip(r.URL.Path), "host", clip(r.Host), "origin", clip(r.Header.Get("Origin")), "and_more", skipped)
	}
}

// textMax is how much of what a client sends stands in a log line.
const textMax = 64

func clip(s string) string {
	q := strconv.QuoteToASCII(s[:min(len(s), textMax)])
	return q[1 : len(q)-1]
}

// noRoute answers where the mux knows nothing: 404, or 405 with the methods that there are.
func (h *Handler) noRoute(w http.ResponseWriter, r *http.Request) {
	asked := &muted{header: http.Header{}}
	h.mux.ServeHTTP(asked, r)
	if asked.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", asked.header.Get("Allow"))
		faultMethod.write(w)
		return
	}
	faultNotFound.write(w)
}

// A muted ResponseWriter takes an answer that nobody gets.
type muted struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (m *muted) Header() http.Header { return m.header }

// Write implements http.ResponseWriter.
func (m *muted) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (m *muted) WriteHeader(status int) { m.status = status }

// allows reports whether a key is for this in the room.
func (h *Handler) allows(k *Key, room string, want gateway.Permission) bool {
	return h.gateway.Allows(&k.holder, room, want)
}
