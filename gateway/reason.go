package gateway

import (
	"errors"

	"sluice/wsproto"
)

// A CloseReason says why a connection ended. It is a fixed enumeration, so that logs, counters and
// Close frames agree and nothing a client sends can make a new one.
type CloseReason uint8

const (
	ClosedByPeer          CloseReason = iota // it sent a Close frame
	ClosedGone                               // it vanished: end of stream or reset without a Close frame
	ClosedProtocol                           // it broke RFC 6455
	ClosedTooBig                             // its message was larger than --max-message
	ClosedNotUTF8                            // its text was not UTF-8
	ClosedCorrupt                            // its compressed message cannot be inflated
	ClosedInflation                          // what it sent was made to be inflated
	ClosedSlow                               // the room dropped what it still needed
	ClosedStalled                            // it took none of its bytes for --stall-timeout
	ClosedDoesNotRead                        // the same, and it went on publishing
	ClosedNoPong                             // it was silent and did not answer a ping
	ClosedDrain                              // the gateway stops
	ClosedRefused                            // its request was answered with an HTTP error
	ClosedSilent                             // it never sent a request head
	ClosedAnswered                           // its ordinary requests were answered, and there came no further one
	ClosedCloseTimeout                       // it did not take its last bytes within --close-timeout
	ClosedPinned                             // stuck in a dropped frame for longest, beyond --pinned-memory
	ClosedAssembly                           // held much of a message and did not go on, beyond --assembly-memory
	ClosedFragments                          // its message came in more than --max-fragments
	ClosedAssemblyTimeout                    // its message was not whole within --assembly-timeout
	ClosedFrameRate                          // it sent more frames than --frame-rate and a burst
	ClosedPingRate                           // it sent more pings than --ping-rate and a burst
	ClosedMessageRate                        // it went on sending more messages than --message-rate
	ClosedByteRate                           // it went on sending more than --byte-rate
	ClosedCut                                // it was there when a drain, or the server, ended
	ClosedShortage                           // the kernel had no memory for it, again and again
	ClosedLifetime                           // it has been there for --max-lifetime
	ClosedFault                              // its handling panicked, or its room's
	ClosedByOperator                         // it was disconnected by Disconnect
	ClosedLent                               // it ended while net/http had it
	ClosedMayNotPublish                      // it sent a message where it may only read
	ClosedExpired                            // its token has expired
	ClosedTLS                                // its TLS handshake failed, or its records could not be opened
	ClosedProxyHeader                        // what its proxy said of it was no PROXY header, or it was no trusted proxy
	ClosedUnread                             // it went on sending behind its request for events
	ClosedBadCommand                         // it sent a subscriber's frame that is none, or a command out of turn
	ClosedStale                              // it spoke the protocol's WebSocket, and did not connect in time
	ClosedUnsupported                        // it sent what subscribers can send elsewhere, and not here
	ClosedReplies                            // it asked and did not read what it was answered, beyond --reply-backlog or most of all
	ClosedGap                                // it missed messages whose offsets it counts
	ClosedBadToken                           // its token was not good, or somebody else's
	ClosedTermsExpired                       // its token for a room has expired
	ClosedOutage                             // the cluster cannot be reached, and Options.CloseOnOutage
	NumCloseReasons                          // how many there are
)

// reasons is the one table of what each means on the wire and in words. Code zero: no Close frame
// is due.
var reasons = [NumCloseReasons]struct {
	label string
	code  wsproto.Code
	text  string
}{
	ClosedByPeer:          {"peer", 0, ""},
	ClosedGone:            {"gone", 0, ""},
	ClosedProtocol:        {"protocol", wsproto.CodeProtocolError, "protocol error"},
	ClosedTooBig:          {"too_big", wsproto.CodeMessageTooBig, "message too big"},
	ClosedNotUTF8:         {"not_utf8", wsproto.CodeInvalidPayload, "text is not UTF-8"},
	ClosedCorrupt:         {"corrupt", wsproto.CodeInvalidPayload, "cannot be inflated"},
	ClosedInflation:       {"inflation", wsproto.CodePolicyViolation, "inflates too much"},
	ClosedSlow:            {"slow_consumer", wsproto.CodeSlowConsumer, "slow consumer"},
	ClosedStalled:         {"stalled", 0, ""},
	ClosedDoesNotRead:     {"does_not_read", wsproto.CodeDoesNotRead, "does not read"},
	ClosedNoPong:          {"no_pong", wsproto.CodeNoPong, "no answer to ping"},
	ClosedDrain:           {"drain", wsproto.CodeGoingAway, "going away"},
	ClosedRefused:         {"refused", 0, ""},
	ClosedSilent:          {"silent", 0, ""},
	ClosedAnswered:        {"answered", 0, ""},
	ClosedCloseTimeout:    {"close_timeout", 0, ""},
	ClosedPinned:          {"pinned_memory", 0, ""},
	ClosedAssembly:        {"assembly_memory", wsproto.CodeTryAgainLater, "out of memory for unfinished messages"},
	ClosedFragments:       {"fragments", wsproto.CodePolicyViolation, "too many fragments"},
	ClosedAssemblyTimeout: {"assembly_timeout", wsproto.CodePolicyViolation, "message not finished in time"},
	ClosedFrameRate:       {"frame_rate", wsproto.CodePolicyViolation, "too many frames"},
	ClosedPingRate:        {"ping_rate", wsproto.CodePolicyViolation, "too many pings"},
	ClosedMessageRate:     {"message_rate", wsproto.CodePolicyViolation, "too many messages for too long"},
	ClosedByteRate:        {"byte_rate", wsproto.CodePolicyViolation, "too many bytes for too long"},
	ClosedCut:             {"cut", 0, ""},
	ClosedShortage:        {"kernel_memory", 0, ""},
	ClosedLifetime:        {"lifetime", wsproto.CodeGoingAway, "time to reconnect"},
	ClosedFault:           {"fault", wsproto.CodeInternalError, "internal error"},
	ClosedByOperator:      {"operator", wsproto.CodeOperator, "disconnected by the operator"},
	ClosedLent:            {"lent", 0, ""},
	ClosedExpired:         {"expired", wsproto.CodeTokenExpired, "token expired"},
	ClosedMayNotPublish:   {"may_not_publish", wsproto.CodeForbidden, "may not publish here"},
	ClosedTLS:             {"tls", 0, ""},
	ClosedProxyHeader:     {"proxy_header", 0, ""},
	ClosedUnread:          {"unread_input", wsproto.CodePolicyViolation, "what is sent here is not read"},
	ClosedBadCommand:      {"bad_command", 0, ""},
	ClosedStale:           {"stale", 0, ""},
	ClosedUnsupported:     {"unsupported_command", 0, ""},
	ClosedReplies:         {"replies", 0, ""},
	ClosedGap:             {"gap", 0, ""},
	ClosedBadToken:        {"bad_token", 0, ""},
	ClosedTermsExpired:    {"subscription_expired", 0, ""},
	ClosedOutage:          {"outage", wsproto.CodeTryAgainLater, "the cluster cannot be reached"},
}

func (r CloseReason) String() string { return reasons[r].label }

// isAbuse reports whether it was the client's fault, and no accident.
func (r CloseReason) isAbuse() bool {
	if r == ClosedBadCommand || r == ClosedUnsupported || r == ClosedBadToken {
		return true
	}
	switch reasons[r].code {
	case wsproto.CodeProtocolError, wsproto.CodeInvalidPayload, wsproto.CodePolicyViolation, wsproto.CodeMessageTooBig,
		wsproto.CodeForbidden:
		return true
	}
	return false
}

// isSlowness reports whether it was for what the client did not take.
func (r CloseReason) isSlowness() bool {
	switch r {
	case ClosedSlow, ClosedStalled, ClosedDoesNotRead, ClosedCloseTimeout, ClosedPinned, ClosedCut, ClosedReplies, ClosedGap:
		return true
	}
	return false
}

// isTold reports whether the end of such a connection is a line of the log, now and then, though
// nobody debugs: it was cut, or closed for no fault of its client's. Abuse, refusals, shortages and
// faults have lines of their own; other ends are everyday ones.
func (r CloseReason) isTold() bool {
	return r.isSlowness() || r == ClosedNoPong || r == ClosedAssembly
}

// violation tells the reason for a decoder's error.
func violation(err error) CloseReason {
	switch wsproto.CloseCode(err) {
	case wsproto.CodePolicyViolation:
		return ClosedFragments
	case wsproto.CodeMessageTooBig:
		return ClosedTooBig
	case wsproto.CodeInvalidPayload:
		if errors.Is(err, wsproto.ErrInvalidDeflate) {
			return ClosedCorrupt
		}
		return ClosedNotUTF8
	}
	return ClosedProtocol
}
