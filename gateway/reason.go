package gateway

import (
	"errors"

	"sluice/wsproto"
)

// A closeReason says why a connection ended. It is a fixed enumeration, so that logs, counters and Close frames agree and
// nothing a client sends can make a new one.
type closeReason uint8

const (
	closedByPeer          closeReason = iota // it sent a Close frame
	closedGone                               // it vanished: end of stream or reset without a Close frame
	closedProtocol                           // it broke RFC 6455
	closedTooBig                             // its message was larger than --max-message
	closedNotUTF8                            // its text was not UTF-8
	closedCorrupt                            // its compressed message cannot be inflated
	closedInflation                          // what it sent was made to be inflated
	closedSlow                               // the room dropped what it still needed
	closedStalled                            // it took none of its bytes for --stall-timeout
	closedNoPong                             // it was silent and did not answer a ping
	closedDrain                              // the gateway stops
	closedRefused                            // its request was answered with an HTTP error
	closedSilent                             // it never sent a request head
	closedCloseTimeout                       // it did not take its last bytes within --close-timeout
	closedPinned                             // it was stuck in a dropped frame for longest when those took more than --pinned-memory
	closedAssembly                           // its unfinished message was the largest when those took more than --assembly-memory
	closedFragments                          // its message came in more than --max-fragments
	closedAssemblyTimeout                    // its message was not whole within --assembly-timeout
	closedFrameRate                          // it sent more frames than --frame-rate and a burst
	closedPingRate                           // it sent more pings than --ping-rate and a burst
	closedMessageRate                        // it went on sending more messages than --message-rate
	closedByteRate                           // it went on sending more than --byte-rate
	closedLent                               // not closed: given to net/http
	closeReasons                             // how many there are
)

// reasons is the one table of what each means on the wire and in words. Code zero: no Close frame is due.
var reasons = [closeReasons]struct {
	label string
	code  wsproto.Code
	text  string
}{
	closedByPeer:          {"peer", 0, ""},
	closedGone:            {"gone", 0, ""},
	closedProtocol:        {"protocol", wsproto.CodeProtocolError, "protocol error"},
	closedTooBig:          {"too_big", wsproto.CodeMessageTooBig, "message too big"},
	closedNotUTF8:         {"not_utf8", wsproto.CodeInvalidPayload, "text is not UTF-8"},
	closedCorrupt:         {"corrupt", wsproto.CodeInvalidPayload, "cannot be inflated"},
	closedInflation:       {"inflation", wsproto.CodePolicyViolation, "inflates too much"},
	closedSlow:            {"slow_consumer", wsproto.CodeSlowConsumer, "slow consumer"},
	closedStalled:         {"stalled", 0, ""},
	closedNoPong:          {"no_pong", wsproto.CodeNoPong, "no answer to ping"},
	closedDrain:           {"drain", wsproto.CodeGoingAway, "going away"},
	closedRefused:         {"refused", 0, ""},
	closedSilent:          {"silent", 0, ""},
	closedCloseTimeout:    {"close_timeout", 0, ""},
	closedPinned:          {"pinned_memory", 0, ""},
	closedAssembly:        {"assembly_memory", wsproto.CodeTryAgainLater, "out of memory for unfinished messages"},
	closedFragments:       {"fragments", wsproto.CodePolicyViolation, "too many fragments"},
	closedAssemblyTimeout: {"assembly_timeout", wsproto.CodePolicyViolation, "message not finished in time"},
	closedFrameRate:       {"frame_rate", wsproto.CodePolicyViolation, "too many frames"},
	closedPingRate:        {"ping_rate", wsproto.CodePolicyViolation, "too many pings"},
	closedMessageRate:     {"message_rate", wsproto.CodePolicyViolation, "too many messages for too long"},
	closedByteRate:        {"byte_rate", wsproto.CodePolicyViolation, "too many bytes for too long"},
	closedLent:            {"lent", 0, ""},
}

func (r closeReason) String() string { return reasons[r].label }

// isAbuse reports whether it was the client's fault, and no accident.
func (r closeReason) isAbuse() bool {
	switch reasons[r].code {
	case wsproto.CodeProtocolError, wsproto.CodeInvalidPayload, wsproto.CodePolicyViolation, wsproto.CodeMessageTooBig:
		return true
	}
	return false
}

// violation tells the reason for a decoder's error.
func violation(err error) closeReason {
	switch wsproto.CloseCode(err) {
	case wsproto.CodePolicyViolation:
		return closedFragments
	case wsproto.CodeMessageTooBig:
		return closedTooBig
	case wsproto.CodeInvalidPayload:
		if errors.Is(err, wsproto.ErrInvalidDeflate) {
			return closedCorrupt
		}
		return closedNotUTF8
	}
	return closedProtocol
}
