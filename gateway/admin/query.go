package admin

import (
	"net/http"
	"net/url"
	"strconv"
)

// query reads what stands behind the path: each of these names once at most, and nothing else.
// Callers say in words of their own what may stand there.
func query(r *http.Request, names ...string) (map[string]string, *fault) {
	found := map[string]string{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	for name, list := range values {
		isKnown := false
		for _, known := range names {
			isKnown = isKnown || name == known
		}
		if !isKnown || len(list) > 1 {
			return nil, &faultQuery
		}
		found[name] = list[0]
	}
	if err != nil {
		return nil, &faultQuery
	}
	return found, nil
}

const (
	listed    = 100  // rooms or connections, unless more are asked for …
	listedMax = 1000 // … at most so many
)

// limitOf reads a limit, which is otherwise this.
func limitOf(text string, otherwise int) (n int, ok bool) {
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && 1 <= n && n <= listedMax
}
