//go:build !linux

package sys

// A Ring is nothing: this system has none.
type Ring struct{}

// OpenRing implements Calls.
func (Real) OpenRing(int) (*Ring, error) { return nil, ErrUnsupported }

// SendRing implements Calls.
func (Real) SendRing(*Ring, []Send, []Completion) (int, int, error) { return 0, 0, ErrUnsupported }

// CloseRing implements Calls.
func (Real) CloseRing(*Ring) {}
