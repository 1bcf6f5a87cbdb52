package centrifuge

import "github.com/centrifugal/protocol"

// A CloseCode is why a connection ends, as the code of its Close frame. SDKs tell by the number
// alone whether they come back: with 3500 to 3999, and with 4500 to 4999, they do not.
type CloseCode uint16

// The codes of connections' ends that the gateway has a use for.
const (
	CloseShutdown          CloseCode = 3001
	CloseInternal          CloseCode = 3004
	CloseExpired           CloseCode = 3005
	CloseSubExpired        CloseCode = 3006
	CloseSlow              CloseCode = 3008
	CloseInsufficientState CloseCode = 3010
	CloseForceReconnect    CloseCode = 3011
	CloseNoPong            CloseCode = 3012
	CloseTooManyRequests   CloseCode = 3013
	CloseInvalidToken      CloseCode = 3500
	CloseBadRequest        CloseCode = 3501
	CloseStale             CloseCode = 3502
	CloseForceDisconnect   CloseCode = 3503
	CloseNotAvailable      CloseCode = 3508
)

var closeReasons = map[CloseCode]string{
	CloseShutdown:          "shutdown",
	CloseInternal:          "internal server error",
	CloseExpired:           "connection expired",
	CloseSubExpired:        "subscription expired",
	CloseSlow:              "slow",
	CloseInsufficientState: "insufficient state",
	CloseForceReconnect:    "force reconnect",
	CloseNoPong:            "no pong",
	CloseTooManyRequests:   "too many requests",
	CloseInvalidToken:      "invalid token",
	CloseBadRequest:        "bad request",
	CloseStale:             "stale",
	CloseForceDisconnect:   "force disconnect",
	CloseNotAvailable:      "not available",
}

// Reason is the code as a text. It is never empty, because the SDK for JavaScript looks at a code
// only if there is a reason beside it, and comes back for ever otherwise.
func (c CloseCode) Reason() string {
	if reason, ok := closeReasons[c]; ok {
		return reason
	}
	return "closed"
}

// An UnsubscribeCode is why a subscription ends while its connection goes on. From 2500 on SDKs
// subscribe again, at once and without a pause, but for the one in Dart, which waits for its next
// connection.
type UnsubscribeCode uint32

// The codes of subscriptions' ends.
const (
	UnsubscribeServer       UnsubscribeCode = 2000
	UnsubscribeInsufficient UnsubscribeCode = 2500
	UnsubscribeExpired      UnsubscribeCode = 2501
)

var unsubscribeReasons = map[UnsubscribeCode]string{
	UnsubscribeServer: "server unsubscribe", UnsubscribeInsufficient: "insufficient state", UnsubscribeExpired: "subscription expired",
}

// Reason is the code as a text.
func (c UnsubscribeCode) Reason() string { return unsubscribeReasons[c] }

// Push is the push that tells a client.
func (c UnsubscribeCode) Push(channel string) *protocol.Reply {
	return &protocol.Reply{Push: &protocol.Push{Channel: channel, Unsubscribe: &protocol.Unsubscribe{Code: uint32(c), Reason: c.Reason()}}}
}
