package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
)

// An Authenticator tells who makes a request for a room. Package gateway/auth has some. Its methods
// are called from many goroutines, and know nothing of rules of rooms: what a Principal was granted
// is held against those behind it.
//
// A request that brings nothing it can judge by is answered with a Principal of KindAnonymous,
// which gets what Options.Anonymous grants. An error is best an *AuthError; behind any other stands
// 503.
type Authenticator interface {
	// Judge tells at once: it is called on a loop. Where it would have to wait for anything it
	// returns ErrAsk.
	Judge(h *Handshake) (Principal, error)
	// Ask is called behind ErrAsk, on a goroutine, and may take until ctx ends: with its
	// connection, or the server.
	Ask(ctx context.Context, h *Handshake) (Principal, error)
	// Headers are the names of those that Handshake.Header is to have.
	Headers() []string
}

// ErrAsk is what Authenticator.Judge returns to have Ask called.
var ErrAsk = errors.New("gateway: somebody has to be asked")

// A Handshake is what an Authenticator is told of a request.
type Handshake struct {
	Room    string      // empty: a connection of the protocol, which has yet to say which rooms it wants
	Token   string      // the bearer token, wherever it stood; empty: none came
	Header  http.Header // of what Authenticator.Headers names what came; Cookie from this server's own or allowed pages alone
	Address netip.Addr  // whose connection it is, or whom a trusted proxy named; the zero Addr for a unix socket

	// IsSubscription: an open connection of Subject, which may be empty, brings the token for this
	// room alone. The Principal must be of the same Subject, and its Room this one.
	IsSubscription bool
	Subject        string
}

// An AuthError is why somebody is not let in.
type AuthError struct {
	Status int    // 401: who asks is not known; 403: is, and may not; anything else is 503: it cannot be said now
	Text   string // for whoever asks and for the log, in words that have nothing of the request in them

	IsExpired bool // the token was good and its time is over: who asks may come again with another
}

// Error implements error.
func (e *AuthError) Error() string { return e.Text }
