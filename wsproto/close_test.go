package wsproto

import (
	"errors"
	"fmt"
	"strings"
	"testing"
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
