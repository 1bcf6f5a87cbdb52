package centrifuge

import "github.com/centrifugal/protocol"

// An ErrorCode is why a command was refused. The connection goes on.
type ErrorCode uint32

// The codes of errors that the gateway has a use for.
const (
	ErrorInternal         ErrorCode = 100
	ErrorUnauthorized     ErrorCode = 101
	ErrorPermissionDenied ErrorCode = 103
	ErrorMethodNotFound   ErrorCode = 104
	ErrorAlreadySubbed    ErrorCode = 105
	ErrorLimitExceeded    ErrorCode = 106
	ErrorBadRequest       ErrorCode = 107
	ErrorNotAvailable     ErrorCode = 108
	ErrorTokenExpired     ErrorCode = 109
	ErrorTooManyRequests  ErrorCode = 111
	ErrorUnrecoverable    ErrorCode = 112
)

var errorTexts = map[ErrorCode]string{
	ErrorInternal:         "internal server error",
	ErrorUnauthorized:     "unauthorized",
	ErrorPermissionDenied: "permission denied",
	ErrorMethodNotFound:   "method not found",
	ErrorAlreadySubbed:    "already subscribed",
	ErrorLimitExceeded:    "limit exceeded",
	ErrorBadRequest:       "bad request",
	ErrorNotAvailable:     "not available",
	ErrorTokenExpired:     "token expired",
	ErrorTooManyRequests:  "too many requests",
	ErrorUnrecoverable:    "unrecoverable position",
}

// Message is the code as a text.
func (c ErrorCode) Message() string { return errorTexts[c] }

// IsTemporary reports whether a client is to try again, later.
func (c ErrorCode) IsTemporary() bool { return c == ErrorInternal || c == ErrorTooManyRequests }

// Reply is the reply to the command of that id.
func (c ErrorCode) Reply(id uint32) *protocol.Reply {
	return &protocol.Reply{Id: id, Error: &protocol.Error{Code: uint32(c), Message: c.Message(), Temporary: c.IsTemporary()}}
}
