//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package reactor

import (
	"errors"
	"testing"
)

func TestNewPollerSaysThatTheSystemIsUnsupported(t *testing.T) {
	if p, err := NewPoller(); p != nil || !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, %v", p, err)
	}
}
