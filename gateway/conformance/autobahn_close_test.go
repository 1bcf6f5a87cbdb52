package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/wstest"
)

func TestAutobahn_7(t *testing.T) {
	normal := wstest.MaskedClose(1000, "")
	large := strings.Repeat("BAsd7&jh23", 256<<10/10+1)[:256<<10]
	two := wstest.Fragments(ws.OpText, "fragment1", "fragment2")
	cases := []autobahnCase{
		{"7.1.1", clean(inOne(wstest.MaskedText("Hello World!")), echoText("Hello World!"))},
		// Nothing is heard behind a Close frame: not a second one, a ping, a message, or the rest
		// of one.
		{"7.1.2", closes(1000, inOne(normal, wstest.Masked(ws.OpClose, true, "")))},
		{"7.1.3", closes(1000, inOne(normal, wstest.MaskedPing("")))},
		{"7.1.4", closes(1000, inOne(normal, wstest.MaskedText("Hello World!")))},
		{"7.1.5", closes(1000, inOne(two[0], normal, two[1]))},
		// Informational in the suite, which lets a Close overtake what was said before it. Here
		// nothing does.
		{"7.1.6", closes(1000, inOne(wstest.MaskedText(large), wstest.MaskedText("Hello World!"), normal, wstest.MaskedPing("")), echoText(large), echoText("Hello World!"))},
		{"7.3.1", closes(0, inOne(wstest.Masked(ws.OpClose, true, "")))},
		{"7.3.2", closes(1002, inOne(wstest.Masked(ws.OpClose, true, "a")))}, // half a code
		{"7.3.3", closes(1000, inOne(normal))},
		{"7.3.4", closes(1000, inOne(wstest.MaskedClose(1000, "Hello World!")))},
		{"7.3.5", closes(1000, inOne(wstest.MaskedClose(1000, strings.Repeat("*", 123))))},
		{"7.3.6", closes(1002, inOne(wstest.Masked(ws.OpClose, true, "\x03\xe8"+strings.Repeat("*", 124))))}, // too long for a control frame
		// The suite takes 1002 as well.
		{"7.5.1", closes(1007, inOne(wstest.MaskedClose(1000, surrogate)))},
	}
	// Valid codes come back; the suite takes 1000 as well.
	for i, code := range []ws.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		cases = append(cases, autobahnCase{fmt.Sprintf("7.7.%d", i+1), closes(code, inOne(wstest.MaskedClose(code, "")))})
	}
	for i, code := range []ws.StatusCode{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		cases = append(cases, autobahnCase{fmt.Sprintf("7.9.%d", i+1), closes(1002, inOne(wstest.MaskedClose(code, "")))})
	}
	cases = append(cases,
		// F26. Informational in the suite. RFC 6455 §7.4.2 has no range for them, so they are as
		// wrong as the ones before.
		autobahnCase{"7.13.1", closes(1002, inOne(wstest.MaskedClose(5000, "")))},
		autobahnCase{"7.13.2", closes(1002, inOne(wstest.MaskedClose(65535, "")))},
	)
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"7.1", 6}, {"7.3", 6}, {"7.5", 1}, {"7.7", 13}, {"7.9", 9}, {"7.13", 2}}, cases)
}
