package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

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
