package wsproto

import (
	"bufio"
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// offer is what a handshake with these values of Sec-WebSocket-Extensions, a line each, leads to.
func offer(t *testing.T, values ...string) (agreed bool, refusal *Refusal) {
	t.Helper()
	var lines []string
	for _, v := range values {
		lines = append(lines, "sec-websocket-EXTENSIONS: "+v)
	}
	r, refusal := judge(upgrade("GET /ws HTTP/1.1", lines...))
	if refusal != nil {
		t.Fatalf("%q: the handshake itself was refused: %v", values, refusal)
	}
	answer, refusal := r.CheckDeflate()
	return answer != "", refusal
}

func wantOffer(t *testing.T, want bool, values ...string) {
	t.Helper()
	if agreed, refusal := offer(t, values...); refusal != nil || agreed != want {
		t.Errorf("%q: agreed %t, refusal %v; want %t", values, agreed, refusal, want)
	}
}

func TestOffersThatAreServed(t *testing.T) {
	wantOffer(t, false)
	for _, good := range []string{
		"permessage-deflate",
		"  permessage-deflate\t",
		"permessage-deflate; client_max_window_bits", // Chromium, Firefox, Safari
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		"permessage-deflate;server_no_context_takeover;client_no_context_takeover;client_max_window_bits=15",
		"permessage-deflate ; server_max_window_bits = 15 ; client_max_window_bits = 8",
		`permessage-deflate; server_max_window_bits="15"; client_max_window_bits="1\0"`,
	} {
		wantOffer(t, true, good)
	}
}

func TestZ07_InvalidOffersAreDeclinedAndNoError(t *testing.T) {
	for _, bad := range []string{
		"permessage-deflate; client_max_window_bits=7",
		"permessage-deflate; client_max_window_bits=16",
		"permessage-deflate; client_max_window_bits=abc",
		"permessage-deflate; client_max_window_bits=08",
		"permessage-deflate; client_max_window_bits=1",
		"permessage-deflate; client_max_window_bits=150",
		"permessage-deflate; client_max_window_bits=+9",
		`permessage-deflate; client_max_window_bits="16"`,
		`permessage-deflate; client_max_window_bits="08"`,
		"permessage-deflate; server_max_window_bits",
		"permessage-deflate; server_max_window_bits=7",
		"permessage-deflate; server_max_window_bits=16",
		"permessage-deflate; server_max_window_bits=abc",
		"permessage-deflate; server_no_context_takeover=1",
		"permessage-deflate; client_no_context_takeover=true",
		"permessage-deflate; client_max_window_bits; client_max_window_bits",
		"permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
		"permessage-deflate; client_no_context_takeover; client_no_context_takeover",
		"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
		"permessage-deflate; unknown",
		"permessage-deflate; Client_Max_Window_Bits", // names are tokens, and tokens have a case
		"permessage-bzip2",
		"x-webkit-deflate-frame",
		"permessage-deflat",
		"permessage-deflatex; client_max_window_bits",
		"deflate; permessage-deflate",
	} {
		wantOffer(t, false, bad)
	}
}

// A message is deflated once for all, with the whole window.
func TestOffersThatRestrictOurWindowAreDeclined(t *testing.T) {
	for _, bits := range []string{"8", "9", "10", "14", `"14"`} {
		wantOffer(t, false, "permessage-deflate; server_max_window_bits="+bits)
	}
}

// Whoever asks for a window of 15 bits is answered with it, or it does not connect (RFC 7692
// §7.1.2.1); whoever does not is not.
func TestN17_AnAskedForWindowIsAnswered(t *testing.T) {
	const whole = deflateAnswer + "; server_max_window_bits=15"
	for offers, want := range map[string]string{
		"permessage-deflate":                                                                                     deflateAnswer,
		"permessage-deflate; client_max_window_bits=15":                                                          deflateAnswer,
		"permessage-deflate; server_max_window_bits=15":                                                          whole,
		`permessage-deflate; server_max_window_bits="15"`:                                                        whole,
		"permessage-deflate; client_max_window_bits; server_max_window_bits=15":                                  whole,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=15":           whole,
		"permessage-deflate, permessage-deflate; server_max_window_bits=15":                                      deflateAnswer,
		"permessage-deflate; server_max_window_bits=15, permessage-deflate":                                      whole,
		"permessage-deflate; server_max_window_bits=14":                                                          "",
		"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=14; unknown=1": "",
	} {
		r, refusal := judge(upgrade("GET /ws HTTP/1.1", "Sec-WebSocket-Extensions: "+offers))
		if refusal != nil {
			t.Fatal(refusal)
		}
		if answer, refusal := r.CheckDeflate(); answer != want || refusal != nil {
			t.Errorf("%q is answered with %q, %v; want %q", offers, answer, refusal, want)
		}
	}
}

func TestZ08_TheFirstOfferThatIsServedCounts(t *testing.T) {
	wantOffer(t, true, "permessage-deflate; client_max_window_bits=7, permessage-deflate")
	wantOffer(t, true, "permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits")
	wantOffer(t, true, "foo; bar=baz, permessage-deflate; what, permessage-deflate")
	wantOffer(t, true, "foo", "permessage-deflate; unknown", "permessage-deflate")
	wantOffer(t, true, "permessage-deflate", "permessage-deflate; unknown")
	wantOffer(t, false, "permessage-deflate; unknown", "foo")
}

func TestZ10_ClientWindowWithoutValueIsAcceptedAndNotRestricted(t *testing.T) {
	wantOffer(t, true, "permessage-deflate; client_max_window_bits")
	if answer := string(AppendSwitchingProtocols(nil, []byte(testKey), "", deflateAnswer)); strings.Contains(answer, "window_bits") {
		t.Errorf("answer %q", answer)
	}
}

func TestZ11_MalformedExtensionsAreRefused(t *testing.T) {
	for _, bad := range []string{
		";;", ";", "=", ",;", "permessage-deflate,;", strings.Repeat(",", emptyMax+1), "foo" + strings.Repeat(" ,\t", emptyMax+1),
		"permessage-deflate;", "permessage-deflate; ;client_max_window_bits", "permessage-deflate;; client_max_window_bits",
		"permessage-deflate; =", "permessage-deflate; =15", "permessage-deflate; client_max_window_bits=",
		"permessage-deflate; client_max_window_bits=1 5", "permessage-deflate; client_max_window_bits==15",
		"permessage-deflate client_max_window_bits", "permessage deflate",
		`permessage-deflate; client_max_window_bits="`, `permessage-deflate; client_max_window_bits="15`,
		`permessage-deflate; client_max_window_bits=15"`, `permessage-deflate; client_max_window_bits=""`,
		`permessage-deflate; client_max_window_bits="1 5"`, `permessage-deflate; client_max_window_bits="15\"`,
		`permessage-deflate; client_max_window_bits="1"5"`, `permessage-deflate; client_max_window_bits="1\\5"`,
		`foo; bar="a,b"`, `foo; bar="a;b"`, `"permessage-deflate"`, "permessage-deflate; a/b", "pérmessage-deflate",
		"permessage-deflate, foo bar",
	} {
		for _, values := range [][]string{{bad}, {"permessage-deflate", bad}, {bad, "permessage-deflate"}} {
			agreed, refusal := offer(t, values...)
			if agreed || refusal == nil || refusal.Status != 400 || refusal.Reason != ReasonExtensions {
				t.Errorf("%q: agreed %t, refusal %v", values, agreed, refusal)
			}
		}
	}
}

func TestZ13_ContextTakeoverIsNeverAgreedOn(t *testing.T) {
	answer := AppendSwitchingProtocols(nil, []byte(testKey), "sluice.v1", deflateAnswer)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	want := []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}
	if got := resp.Header.Values("Sec-WebSocket-Extensions"); !slices.Equal(got, want) {
		t.Errorf("extensions %q", got)
	}
	if resp.Header.Get("Sec-WebSocket-Protocol") != "sluice.v1" || HeadEnd(answer, 0) != len(answer) {
		t.Errorf("answer %q", answer)
	}
	if plain := AppendSwitchingProtocols(nil, []byte(testKey), "", ""); bytes.Contains(plain, []byte("Extensions")) {
		t.Errorf("without agreement: %q", plain)
	}
}

func TestOffersAllocateNothing(t *testing.T) {
	r, refusal := judge(upgrade("GET /ws HTTP/1.1", `Sec-WebSocket-Extensions: foo; a="b", permessage-deflate; client_max_window_bits="15"`))
	if refusal != nil {
		t.Fatal(refusal)
	}
	if allocs := testing.AllocsPerRun(100, func() { r.CheckDeflate() }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestClientTakesOnlyTheExtensionThatItOffered(t *testing.T) {
	answer := func(value string) []byte {
		plain := AppendSwitchingProtocols(nil, []byte(testKey), "", "")
		return append(plain[:len(plain)-2], "Sec-WebSocket-Extensions: "+value+"\r\n\r\n"...)
	}
	for _, value := range []string{
		"permessage-deflate; server_no_context_takeover",
		"permessage-deflate; client_no_context_takeover; server_no_context_takeover",
		"permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
	} {
		if deflate, err := CheckServerHandshake(answer(value), testKey, true); !deflate || err != nil {
			t.Errorf("%q: %t, %v", value, deflate, err)
		}
		if deflate, err := CheckServerHandshake(answer(value), testKey, false); deflate || err == nil {
			t.Errorf("%q not offered: %t, %v", value, deflate, err)
		}
	}
	for _, value := range []string{
		"permessage-deflate", // with context takeover
		"permessage-deflate; client_no_context_takeover",
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
		"permessage-deflate; server_no_context_takeover; unknown",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
		"permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover",
		"foo", "permessage-deflate; server_no_context_takeover, foo", ";;",
	} {
		if deflate, err := CheckServerHandshake(answer(value), testKey, true); deflate || err == nil {
			t.Errorf("%q: %t, %v", value, deflate, err)
		}
	}
}

// FuzzOffers holds the parser to a model that says the same in another way, for one line and for
// two.
func FuzzOffers(f *testing.F) {
	for _, seed := range []string{
		"permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate;client_max_window_bits=7,permessage-deflate",
		`foo; bar="b\az", permessage-deflate; server_max_window_bits="15"`, " ,,", ";;", "permessage-deflate\npermessage-deflate; unknown",
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover", `a;b="\`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		lines := strings.Split(input, "\n")
		var r Request
		for _, line := range lines {
			if !isFieldValue([]byte(line)) {
				t.Skip("not a header")
			}
			r.fields = append(r.fields, field{[]byte("Sec-WebSocket-Extensions"), trimSpace([]byte(line))})
		}
		answer, refusal := r.CheckDeflate()
		agreed := answer != ""
		wantAgreed, wellFormed := modelOffers(lines)
		if (refusal == nil) != wellFormed || wellFormed && agreed != wantAgreed {
			t.Errorf("agreed %t, refusal %v; the model agreed %t, well-formed %t", agreed, refusal, wantAgreed, wellFormed)
		}
	})
}

const (
	modelToken = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	modelPair  = `(?:\\?` + "[!#$%&'*+.^_`|~0-9A-Za-z-])+"
	modelParam = `[ \t]*(` + modelToken + `)[ \t]*(?:(=)[ \t]*(?:(` + modelToken + `)|"(` + modelPair + `)")[ \t]*)?`
)

var (
	modelElement = regexp.MustCompile(`^[ \t]*(` + modelToken + `)[ \t]*((?:;` + modelParam + `)*)$`)
	modelParams  = regexp.MustCompile(`;` + modelParam)
	modelBits    = regexp.MustCompile(`^(8|9|10|11|12|13|14|15)$`)
)

// modelOffers reads lines of Sec-WebSocket-Extensions with regular expressions and judges the
// offers.
func modelOffers(lines []string) (agreed, wellFormed bool) {
	empty := 0
	for _, element := range strings.Split(strings.Join(lines, ","), ",") {
		if strings.Trim(element, " \t") == "" {
			if empty++; empty > 32 {
				return agreed, false
			}
			continue
		}
		m := modelElement.FindStringSubmatch(element)
		if m == nil {
			return false, false
		}
		agreed = agreed || m[1] == "permessage-deflate" && modelServes(modelParams.FindAllStringSubmatch(m[2], -1))
	}
	return agreed, true
}

func modelServes(params [][]string) bool {
	seen := map[string]bool{}
	for _, p := range params {
		name, hasValue, value := p[1], p[2] != "", p[3]+strings.ReplaceAll(p[4], `\`, "")
		if seen[name] {
			return false
		}
		seen[name] = true
		switch {
		case name == "server_no_context_takeover" && !hasValue:
		case name == "client_no_context_takeover" && !hasValue:
		case name == "client_max_window_bits" && (!hasValue || modelBits.MatchString(value)):
		case name == "server_max_window_bits" && value == "15":
		default:
			return false
		}
	}
	return true
}
