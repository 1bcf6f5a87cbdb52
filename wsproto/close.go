package wsproto

import (
	"encoding/binary"
	"errors"
	"strconv"
	"unicode/utf8"
)

// A Code is a close code: RFC 6455 §7.4 and the IANA registry "WebSocket Close Code Number".
type Code uint16

// Codes this program sends or names. CodeNoStatus and CodeAbnormal never stand on the wire: they
// say that a Close frame had no code, or that there was no Close frame at all.
const (
	CodeNormal          Code = 1000
	CodeGoingAway       Code = 1001 // server shuts down, or page is left
	CodeProtocolError   Code = 1002
	CodeUnsupportedData Code = 1003
	CodeNoStatus        Code = 1005
	CodeAbnormal        Code = 1006
	CodeInvalidPayload  Code = 1007 // text that is not UTF-8, or data that does not inflate
	CodePolicyViolation Code = 1008
	CodeMessageTooBig   Code = 1009
	CodeInternalError   Code = 1011
	CodeServiceRestart  Code = 1012 // come back, but not all at once
	CodeTryAgainLater   Code = 1013 // overloaded
	CodeTokenExpired    Code = 4001 // ours: who the client is was known until now
	CodeForbidden       Code = 4003 // ours: it sent a message where it may not
	CodeSlowConsumer    Code = 4008 // ours: the room no longer holds what the client has not taken
	CodeNoPong          Code = 4009 // ours: silent for too long, and no answer to a ping
	CodeDoesNotRead     Code = 4010 // ours: it sends, and takes nothing of what it is sent
	CodeOperator        Code = 4012 // ours: an operator disconnected it
)

// OnWire reports whether a Close frame may carry c: 1000-1003, 1007-1014 and 3000-4999.
func (c Code) OnWire() bool {
	return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
}

// String returns the number and, for a named code, its name: "1001 going away".
func (c Code) String() string {
	number := strconv.Itoa(int(c))
	if name := codeNames[c]; name != "" {
		return number + " " + name
	}
	return number
}

var codeNames = map[Code]string{
	CodeNormal:          "normal closure",
	CodeGoingAway:       "going away",
	CodeProtocolError:   "protocol error",
	CodeUnsupportedData: "unsupported data",
	CodeNoStatus:        "no status",
	CodeAbnormal:        "abnormal closure",
	CodeInvalidPayload:  "invalid payload",
	CodePolicyViolation: "policy violation",
	CodeMessageTooBig:   "message too big",
	CodeInternalError:   "internal error",
	CodeServiceRestart:  "service restart",
	CodeTryAgainLater:   "try again later",
	CodeTokenExpired:    "token expired",
	CodeForbidden:       "forbidden",
	CodeSlowConsumer:    "slow consumer",
	CodeNoPong:          "no pong",
	CodeDoesNotRead:     "does not read",
	CodeOperator:        "disconnected by the operator",
}

// A Violation is what a peer did wrong, one value per rule of RFC 6455 or RFC 7692. It is an error,
// comparable with == and errors.Is, and small enough to count by: 1 <= v < NumViolations.
type Violation uint8

// The violations, each with the rule it breaks.
const (
	ErrReservedBits           Violation = iota + 1 // §5.2: RSV1-3 without an extension or a meaning
	ErrReservedOpcode                              // §5.2: opcodes 3-7 and 11-15
	ErrControlTooLong                              // §5.5: control payload over 125 bytes
	ErrControlFragmented                           // §5.5: control frame without FIN
	ErrUnmasked                                    // §5.1: frame from a client without a mask
	ErrMasked                                      // §5.1: frame from a server with a mask
	ErrLengthNotMinimal                            // §5.2: length not in its shortest form
	ErrLengthMSB                                   // §5.2: 64-bit length with the top bit set
	ErrUnexpectedContinuation                      // §5.4: continuation, but no message to continue
	ErrExpectedContinuation                        // §5.4: new message before the last one ended
	ErrTooBig                                      // §10.4: message over the Decoder's limit
	ErrInvalidUTF8                                 // §8.1: text that is not UTF-8
	ErrCloseBody                                   // §5.5.1: Close with a body of one byte
	ErrCloseCode                                   // §7.4: close code that may not be sent
	ErrCloseReason                                 // §5.5.1: close reason that is not UTF-8
	ErrInvalidDeflate                              // RFC 7692 §7.2.2: corrupt or cut off
	ErrTooManyFragments                            // §10.4: message in more frames than allowed

	NumViolations
)

// violations maps each violation to the code that the peer gets and what the log says. The texts
// are ours alone, so they are fit for the reason of a Close frame.
var violations = [NumViolations]struct {
	code Code
	text string
}{
	ErrReservedBits:           {CodeProtocolError, "reserved bits set"},
	ErrReservedOpcode:         {CodeProtocolError, "reserved opcode"},
	ErrControlTooLong:         {CodeProtocolError, "control frame too long"},
	ErrControlFragmented:      {CodeProtocolError, "control frame fragmented"},
	ErrUnmasked:               {CodeProtocolError, "client frame not masked"},
	ErrMasked:                 {CodeProtocolError, "server frame masked"},
	ErrLengthNotMinimal:       {CodeProtocolError, "length not minimal"},
	ErrLengthMSB:              {CodeProtocolError, "length has the top bit set"},
	ErrUnexpectedContinuation: {CodeProtocolError, "unexpected continuation frame"},
	ErrExpectedContinuation:   {CodeProtocolError, "expected a continuation frame"},
	ErrTooBig:                 {CodeMessageTooBig, "message too big"},
	ErrInvalidUTF8:            {CodeInvalidPayload, "text is not UTF-8"},
	ErrCloseBody:              {CodeProtocolError, "close body of one byte"},
	ErrCloseCode:              {CodeProtocolError, "close code not allowed"},
	ErrCloseReason:            {CodeInvalidPayload, "close reason is not UTF-8"},
	ErrInvalidDeflate:         {CodeInvalidPayload, "compressed data is invalid"},
	ErrTooManyFragments:       {CodePolicyViolation, "too many fragments"},
}

// Error returns the violation in a few words, fit for the reason of a Close frame.
func (v Violation) Error() string {
	if v == 0 || v >= NumViolations {
		return "violation " + strconv.Itoa(int(v))
	}
	return violations[v].text
}

// CloseCode returns the code that tells the peer about err: its own for a Violation,
// CodeInternalError for any other error, because then the fault is ours.
func CloseCode(err error) Code {
	var v Violation
	if errors.As(err, &v) && v > 0 && v < NumViolations {
		return violations[v].code
	}
	return CodeInternalError
}

// ParseClose takes the body of a Close frame apart. An empty body is CodeNoStatus. Errors are
// ErrCloseBody, ErrCloseCode and ErrCloseReason. reason aliases body.
func ParseClose(body []byte) (code Code, reason []byte, err error) {
	if len(body) == 0 {
		return CodeNoStatus, nil, nil
	}
	if len(body) == 1 {
		return 0, nil, ErrCloseBody
	}
	code, reason = Code(binary.BigEndian.Uint16(body)), body[2:]
	if !code.OnWire() {
		return 0, nil, ErrCloseCode
	}
	if !utf8.Valid(reason) {
		return 0, nil, ErrCloseReason
	}
	return code, reason, nil
}
