package gateway

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// linesOf says in which line of the log, written though nobody debugs, each end of a connection is
// seen beside its counter. Empty: such ends are everyday ones, and the counter is enough.
var linesOf = map[CloseReason]string{
	ClosedByPeer:       "",
	ClosedExpired:      "",
	ClosedTermsExpired: "",
	ClosedStale:        "",
	ClosedLifetime:     "",
	ClosedProxyHeader:  "closed on a listener for the PROXY protocol",
	ClosedTLS:          "TLS handshake failed",
	ClosedByOperator:   "", // Whoever asked for it was told.
	ClosedGone:         "",
	ClosedSilent:       "",
	ClosedAnswered:     "",
	ClosedLent:         "",
	ClosedDrain:        "draining",
	ClosedRefused:      "refused",
	ClosedShortage:     "closed because the kernel has no memory for it",
	ClosedOutage:       "the cluster cannot be reached: all clients are closed, and new ones refused",
	ClosedFault:        "a panic, which is a fault of the gateway: please report it",
}

// Every way in which a connection may end is seen without debugging, and docs/metrics.md says
// where.
func TestEveryEndIsSeenWithoutDebugging(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| [^|]* \\| ([^|]*) ?\\|$").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = strings.TrimSpace(m[2])
	}
	for r := range NumCloseReasons {
		line, isNamed := linesOf[r]
		ways := 0
		for _, is := range []bool{isNamed, r.isAbuse(), r.isTold()} {
			if is {
				ways++
			}
		}
		if ways != 1 {
			t.Errorf("%v is seen in %d ways, want one: say which, in this test and in docs/metrics.md", r, ways)
		}
		switch {
		case r.isAbuse():
			line = "closed for abuse"
		case r.isTold():
			line = "client left"
		}
		got, isThere := documented[r.String()]
		if !isThere || got != line {
			t.Errorf("docs/metrics.md says of %v %q, %t; want %q", r, got, isThere, line)
		}
		delete(documented, r.String())
		if r.isSlowness() && !r.isTold() {
			t.Errorf("%v is slowness that nobody is told of", r)
		}
	}
	for label := range documented {
		t.Errorf("docs/metrics.md explains %s, which is no reason", label)
	}
}
