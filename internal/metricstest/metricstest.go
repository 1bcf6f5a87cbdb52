// Package metricstest scrapes a gateway's /metrics for tests. Those inside package admin, which it
// imports, scrape for themselves.
package metricstest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/gateway"
	"sluice/gateway/admin"
)

// Scrape is what the admin listener of a gateway tells at /metrics.
func Scrape(t testing.TB, s *gateway.Server) string {
	t.Helper()
	key := admin.NewKey()
	keys, err := admin.ParseKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := admin.New(s, admin.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	h.AddFigures(s, admin.FigureOptions{})
	r := httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil)
	r.Header.Set("X-API-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("/metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}
