package wsproto

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
)

func closeBody(code int, reason string) []byte {
	return append([]byte{byte(code >> 8), byte(code)}, reason...)
}

func TestF26_F27_EveryCloseCodeIsJudged(t *testing.T) {
	legal := func(code int) bool {
		switch {
		case code == 1004 || code == 1005 || code == 1006 || code == 1015:
			return false
		case code >= 1000 && code <= 1014, code >= 3000 && code <= 4999:
			return true
		}
		return false
	}
	for code := range 65536 {
		got, reason, err := ParseClose(closeBody(code, "why"))
		if legal(code) {
			if int(got) != code || string(reason) != "why" || err != nil {
				t.Errorf("%d: code %d, reason %q, error %v", code, got, reason, err)
			}
		} else if err != ErrCloseCode || CloseCode(err) != CodeProtocolError {
			t.Errorf("%d: error %v", code, err)
		}
	}
}

func TestAutobahn_7_CloseBodies(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		code Code
		err  error
		tell Code // what the peer is told
	}{
		{"7.3.1 empty", nil, CodeNoStatus, nil, 0},
		{"7.3.2 one byte", []byte{3}, 0, ErrCloseBody, CodeProtocolError},
		{"7.3.3 code only", closeBody(1000, ""), CodeNormal, nil, 0},
		{"7.3.5 longest reason", closeBody(1000, strings.Repeat("r", MaxCloseReason)), CodeNormal, nil, 0},
		{"7.5.1 reason not UTF-8", closeBody(1000, "\xce\xba\xed\xa0\x80"), 0, ErrCloseReason, CodeInvalidPayload},
		{"reason cut inside a rune", closeBody(1000, "\xe2\x82"), 0, ErrCloseReason, CodeInvalidPayload},
	} {
		code, _, err := ParseClose(c.body)
		if code != c.code || err != c.err {
			t.Errorf("%s: code %v, error %v", c.name, code, err)
		}
		if err != nil && CloseCode(err) != c.tell {
			t.Errorf("%s: peer is told %v, want %v", c.name, CloseCode(err), c.tell)
		}
	}
}

func TestEveryViolationHasATextAndACodeForTheWire(t *testing.T) {
	seen := map[string]bool{}
	for v := Violation(1); v < NumViolations; v++ {
		wrapped := fmt.Errorf("conn: %w", v)
		if code := CloseCode(wrapped); !code.OnWire() || code == CodeInternalError {
			t.Errorf("%v: code %v", v, code)
		}
		if text := v.Error(); text == "" || seen[text] || len(text) > MaxCloseReason {
			t.Errorf("violation %d: text %q", v, text)
		}
		seen[v.Error()] = true
	}
	if got := CloseCode(errors.New("disk full")); got != CodeInternalError {
		t.Errorf("foreign error: %v", got)
	}
}

func TestCodesReadWell(t *testing.T) {
	if got := CodeSlowConsumer.String() + ", " + Code(3999).String(); got != "4008 slow consumer, 3999" {
		t.Error(got)
	}
}

// FuzzCloseBody holds ParseClose to two other libraries: coder/websocket, whose codes are those of
// the IANA registry but which takes any bytes for a reason, and gobwas/ws, which checks reasons but
// knows fewer codes.
func FuzzCloseBody(f *testing.F) {
	for _, code := range []int{0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4008, 4999, 5000, 65535} {
		f.Add(closeBody(code, ""))
		f.Add(closeBody(code, "κόσμε"))
	}
	for _, body := range [][]byte{
		nil,
		{3},
		{0xff},
		closeBody(1000, "\xe2\x82"), closeBody(1000, "\xed\xa0\x80"), closeBody(1001, "\xc0\xaf"), closeBody(3000, "\xf4\x90\x80\x80"), closeBody(1005, "\xff"),
		closeBody(1000, "nul \x00, noncharacter \uffff"),
		closeBody(4000, strings.Repeat("r", MaxCloseReason)), closeBody(4000, strings.Repeat("r", MaxCloseReason+1)),
		closeBody(4000, strings.Repeat("r", MaxCloseReason-1)+"é"),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		code, reason, err := ParseClose(body)
		expectCloseAsGobwas(t, body, code, reason, err)
		if len(body) > MaxControlPayload {
			return // No frame carries it.
		}
		theirs, isTaken := closeHeardByCoder(t, AppendFrame(nil, OpClose, body))
		switch {
		case err == ErrCloseReason:
			if !isTaken || utf8.ValidString(theirs.Reason) {
				t.Errorf("%x: %v, coder/websocket has %v (taken: %t)", body, err, theirs, isTaken)
			}
			return
		case (err == nil) != isTaken:
			t.Errorf("%x: %v, taken by coder/websocket: %t", body, err, isTaken)
		case err == nil && (int(code) != int(theirs.Code) || string(reason) != theirs.Reason):
			t.Errorf("%x: %v %q, coder/websocket has %v", body, code, reason, theirs)
		}
		if err != nil {
			return
		}
		// What was taken is echoed, so the echo must be taken as well, and mean the same.
		echoed, isTaken := closeHeardByCoder(t, AppendClose(nil, code, string(reason)))
		if !isTaken || echoed != theirs {
			t.Errorf("%x: the echo of %v is heard as %v (taken: %t)", body, theirs, echoed, isTaken)
		}
	})
}

// expectCloseAsGobwas compares with gobwas/ws where its rules are the registry's: it refuses 1012
// to 1014, which were registered later, and takes what is above 4999 (RFC 6455 §7.4.2 has no such
// codes).
func expectCloseAsGobwas(t *testing.T, body []byte, code Code, reason []byte, err error) {
	t.Helper()
	if len(body) < 2 {
		return // It makes the same of both lengths.
	}
	theirCode, theirReason := ws.ParseCloseFrameData(body)
	if theirCode >= 1012 && theirCode <= 1014 || theirCode > 4999 {
		return
	}
	theirs := ws.CheckCloseFrameData(theirCode, theirReason)
	if (err == nil) != (theirs == nil) || (err == ErrCloseReason) != (theirs == ws.ErrProtocolInvalidUTF8) {
		t.Errorf("%x: %v, gobwas/ws: %v", body, err, theirs)
	}
	if err == nil && (int(code) != int(theirCode) || string(reason) != theirReason) {
		t.Errorf("%x: %v %q, gobwas/ws has %d %q", body, code, reason, theirCode, theirReason)
	}
}

// closeHeardByCoder is what coder/websocket's client makes of a server that sends wire, and whether
// it takes it for a Close.
func closeHeardByCoder(t *testing.T, wire []byte) (heard coder.CloseError, isTaken bool) {
	t.Helper()
	c, _, err := coder.Dial(t.Context(), "ws://here/ws", &coder.DialOptions{HTTPClient: &http.Client{Transport: cannedServer(wire)}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	_, _, err = c.Read(context.Background())
	heard, isTaken = errors.AsType[coder.CloseError](err)
	return heard, isTaken
}

// A cannedServer upgrades whoever asks, sends these bytes and drops what it is sent. It is all in
// memory.
type cannedServer []byte

func (s cannedServer) RoundTrip(r *http.Request) (*http.Response, error) {
	head := AppendSwitchingProtocols(nil, []byte(r.Header.Get("Sec-WebSocket-Key")), "", "")
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), r)
	if err != nil {
		return nil, err
	}
	answer.Body = cannedStream{bytes.NewReader(s), io.Discard}
	return answer, nil
}

type cannedStream struct {
	io.Reader
	io.Writer
}

func (cannedStream) Close() error { return nil }
