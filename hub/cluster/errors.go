package cluster

import (
	"errors"

	"sluice/hub"
)

// Errors of a node. Those of Publish that publishers can do something about are hub's.
var (
	ErrTooLarge     = hub.ErrTooLarge
	ErrFull         = hub.ErrFull
	ErrTimeout      = errors.New("cluster: the stream has not acknowledged the message in time, and may yet")
	ErrUnknown      = errors.New("cluster: the stream may have the message or not, and it was given up")
	ErrTooManyRooms = errors.New("cluster: as many rooms are followed as may be")
	ErrClosed       = errors.New("cluster: the node has ended")
)
