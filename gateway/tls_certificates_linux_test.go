package gateway

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// A key may come through a pipe, once. It is not looked for anew because the pipe was written to:
// who opens it would wait for ever.
func TestKeyFromAPipeIsReadOnce(t *testing.T) {
	t.Parallel()
	pair := wstest.NewAuthority(t).Pair([2]string{}, "one.test")
	text, err := os.ReadFile(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	said := make(chan error, 1)
	go func() { said <- os.WriteFile(pipe, text, 0) }()
	cfg := testConfig()
	cfg.TLSPairs = []TLSPair{{Cert: pair[0], Key: pipe}}
	s, err := newCertificates(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	if s.hasChanged() {
		t.Error("it is to be read another time")
	}
}
