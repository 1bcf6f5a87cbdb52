//go:build !linux

package floor

import (
	"context"
	"errors"
	"io"
)

// Serve refuses.
func Serve(context.Context, string, io.Writer) error {
	return errors.New("floor: needs Linux, because it is raw epoll")
}
