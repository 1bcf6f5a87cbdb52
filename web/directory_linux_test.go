package web

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe that nobody writes into is no page: who asks for it would wait for ever, and hold one of
// the places for ordinary requests.
func TestDirectoryDoesNotWaitForAPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/pipe", http.NoBody))
		answered <- w.Code
	}()
	select {
	case status := <-answered:
		if status != http.StatusNotFound {
			t.Errorf("it is answered with %d", status)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it is not answered")
	}
}
