package admin

import (
	"net/http"
	"net/http/pprof"
)

// AddFigures adds /metrics, /debug/pprof, the live page at /, and the health checks, which need no
// key.
func (h *Handler) AddFigures(f Figures, o FigureOptions) {
	h.handleWhole("GET /metrics", newMetrics(f, h.version, o))
	for pattern, to := range map[string]http.HandlerFunc{
		"GET /debug/pprof/":        atLength(isWhole, pprof.Index), // Some profiles are of a while, too.
		"GET /debug/pprof/profile": atLength(isWhole, pprof.Profile),
		"GET /debug/pprof/trace":   atLength(isPart, pprof.Trace),
		"GET /debug/pprof/symbol":  pprof.Symbol,
		"POST /debug/pprof/symbol": pprof.Symbol,
	} { // Not cmdline: secrets stand in command lines.
		h.handleWhole(pattern, to)
	}
	h.HandleOpen("GET /livez", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, nil) }))
	h.HandleOpen("GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, f.Ready()) }))
	h.addPage(f, o)
}

// handleWhole adds a route for keys that are for more than some rooms.
func (h *Handler) handleWhole(pattern string, to http.Handler) {
	h.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !usedKey(r).isForAll() {
			faultWhole.write(w)
			return
		}
		to.ServeHTTP(w, r)
	}))
}
