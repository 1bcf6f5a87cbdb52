package admin

import (
	"context"
	"io"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"sluice/gateway"
)

// Figures tell how a gateway does. A *gateway.Server is one.
type Figures interface {
	Stats(context.Context) (gateway.Stats, error)
	State(context.Context) (gateway.State, error)
	Ready() error
	Rooms(gateway.RoomQuery) (rooms []gateway.RoomInfo, total int)
	Connections(context.Context, gateway.ConnQuery) (conns []gateway.ConnInfo, total int, err error)
}

// FigureOptions say what the program knows beside the gateway.
type FigureOptions struct {
	Dropped func() uint64 // lines that its log has lost; nil: none is ever lost
	Tail    *Tail         // the end of its log; nil: the live page shows none
	// Cluster tells how who gives rooms their order does; nil: the gateway is alone, and has no
	// metrics of it.
	Cluster func() ClusterFigures
}

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

// answerHealth says the same as the gateway's own listeners.
func answerHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok"
	if err != nil {
		text = readinessOf(err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, text+"\n") // Whoever asked may be gone.
}

// readinessOf is why a gateway is not ready, in the words of its /readyz.
func readinessOf(err error) string { return strings.TrimPrefix(err.Error(), "gateway: ") }

// profileMax is how long a profile or a trace may be taken, in seconds.
const profileMax = 300

// isWhole reports whether pprof takes a text for seconds. Of one that is no whole number it makes
// its default, which is 30.
func isWhole(text string) bool {
	n, err := strconv.ParseUint(text, 10, 64)
	return err == nil && n > 0 && n <= profileMax
}

// isPart is isWhole for traces, which take parts of a second.
func isPart(text string) bool {
	n, err := strconv.ParseFloat(text, 64)
	return err == nil && n > 0 && n <= profileMax
}

// atLength takes the server's timeouts from requests that are meant to take long: a profile's
// default is as long as they are. How long is said in seconds that have to be good.
func atLength(isGood func(seconds string) bool, to http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("seconds"); text != "" && !isGood(text) {
			faultSeconds.write(w)
			return
		}
		c := http.NewResponseController(w)
		// Where there are none, there is nothing to take away.
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
		// pprof looks at the server's own timeout, which does not hold any more.
		to(w, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, new(http.Server))))
	}
}
