package wsproto

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const testKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 §1.3

// head joins lines to a request head.
func head(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// upgrade is a valid handshake for a target, with further lines.
func upgrade(requestLine string, more ...string) []byte {
	return head(append([]string{
		requestLine, "Host: example.com:8080", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + testKey,
	}, more...)...)
}

// without returns a head less the lines that begin with prefix.
func without(head []byte, prefix string) []byte {
	var kept []string
	for line := range strings.SplitAfterSeq(string(head), "\r\n") {
		if !strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, ""))
}

// judge runs a head through the whole server side, with a head that went before to find what
// sticks.
func judge(head []byte) (*Request, *Refusal) {
	var r Request
	r.Parse(upgrade("GET /earlier%20one?q HTTP/1.1", "Cookie: a", "Origin: http://a"))
	if refusal := r.Parse(head); refusal != nil {
		return &r, refusal
	}
	return &r, r.CheckUpgrade()
}

// wantReason fails unless the head is refused for this reason; 0 means accepted.
func wantReason(t *testing.T, name string, head []byte, want Reason) {
	t.Helper()
	var got Reason
	if _, refusal := judge(head); refusal != nil {
		got = refusal.Reason
	}
	if got != want {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}

func TestHeadEndFindsTheBlankLineInPieces(t *testing.T) {
	whole := upgrade("GET /ws HTTP/1.1")
	input := append(bytes.Clone(whole), "\x81\x80 frame \r\n\r\n"...)
	if got := HeadEnd(input, 0); got != len(whole) {
		t.Errorf("whole: %d, want %d", got, len(whole))
	}
	for from := range len(whole) {
		if got := HeadEnd(whole[:from], 0); got != 0 {
			t.Errorf("first %d bytes: head of %d", from, got)
		}
		if got := HeadEnd(input, from); got != len(whole) {
			t.Errorf("searched to %d: %d, want %d", from, got, len(whole))
		}
	}
}

// How long a head may be is for the caller to say, who has what came of it.
func TestH04_HeadOverTheLimitIsRefused(t *testing.T) {
	long := upgrade("GET /ws HTTP/1.1", "X: "+strings.Repeat("x", 32<<10))
	if got := RefuseHead(long[:32<<10]); got.Status != 431 {
		t.Errorf("no end in sight: %v", got)
	}
	if got := RefuseHead([]byte("GET /" + strings.Repeat("x", 32<<10))); got.Status != 414 {
		t.Errorf("no end of the first line in sight: %v", got)
	}
}

func TestH05_MoreHeadersThanTheLimitAreRefused(t *testing.T) {
	lines := func(n int) []string { return strings.Split(strings.Repeat("a: b\n", n)[:5*n-1], "\n") }
	wantReason(t, fmt.Sprint(MaxHeaders), upgrade("GET /ws HTTP/1.1", lines(MaxHeaders-5)...), 0)
	wantReason(t, fmt.Sprint(MaxHeaders+1), upgrade("GET /ws HTTP/1.1", lines(MaxHeaders-4)...), ReasonHeaderCount)
	wantReason(t, "100,000 headers", upgrade("GET /ws HTTP/1.1", lines(100_000)...), ReasonHeaderCount)
}

func TestH13_FoldedHeaderLineIsRefused(t *testing.T) {
	wantReason(t, "space", upgrade("GET /ws HTTP/1.1", "X: a", " b"), ReasonHeader)
	wantReason(t, "tab", upgrade("GET /ws HTTP/1.1", "X: a", "\tb: c"), ReasonHeader)
	wantReason(t, "before the first header", upgrade("GET /ws HTTP/1.1\r\n Host: x"), ReasonHeader)
}

func TestH14_BareLineFeedIsRefusedWithoutWaiting(t *testing.T) {
	good := string(upgrade("GET /ws HTTP/1.1"))
	for i := range strings.Count(good, "\r\n") {
		parts := strings.Split(good, "\r\n")
		bad := []byte(strings.Join(parts[:i+1], "\r\n") + "\n" + strings.Join(parts[i+1:], "\r\n"))
		if end := HeadEnd(bad, 0); end != len(bad) {
			t.Errorf("line %d: head ends at %d of %d", i, end, len(bad))
		}
		if _, refusal := judge(bad); refusal == nil || refusal.Status != 400 {
			t.Errorf("line %d: %v", i, refusal)
		}
	}
	all := []byte(strings.ReplaceAll(good, "\r\n", "\n"))
	if end := HeadEnd(all, 0); end != len(all) {
		t.Errorf("LF only: head ends at %d", end)
	}
	wantReason(t, "LF only", all, ReasonRequestLine)
}

func TestMalformedHeaderLinesAreRefused(t *testing.T) {
	for _, line := range []string{
		"Name : value", "Na me: value", ": value", "novalue", "N\x00ame: v", "Name: v\x00", "Name: a\rb", "Name: \x7f", "Nämé: v", "Name(x): v", "Name: \x1b[31m",
	} {
		wantReason(t, fmt.Sprintf("%q", line), upgrade("GET /ws HTTP/1.1", line), ReasonHeader)
	}
	for _, line := range []string{"Name:", "Name:v", "Name: \t v \t", "N!#$%&'*+-.^_`|~9: v", "Name: käse"} {
		wantReason(t, fmt.Sprintf("%q", line), upgrade("GET /ws HTTP/1.1", line), 0)
	}
}

func TestMalformedRequestLinesAreRefused(t *testing.T) {
	for _, line := range []string{
		"GET /ws", "GET  /ws HTTP/1.1", "GET /ws  HTTP/1.1", "GET /ws HTTP/1.1 ", "GET /a b HTTP/1.1", "GET /ws http/1.1",
		"GET /ws HTTP/1", "GET /ws HTTP/1.", "GET /ws HTTPS/1.1", "GET /ws\rHTTP/1.1", "GET ",
	} {
		wantReason(t, fmt.Sprintf("%q", line), upgrade(line), ReasonRequestLine)
	}
	for _, line := range []string{
		"", "GET", " GET /ws HTTP/1.1", "GET\t/ws\tHTTP/1.1", "G(T /ws HTTP/1.1", "\x16\x03\x01\x02 \x01 \x01", "1GET /ws HTTP/1.1",
		strings.Repeat("G", maxMethodBytes+1) + " /ws HTTP/1.1",
	} {
		wantReason(t, fmt.Sprintf("%q", line), upgrade(line), ReasonNotHTTP)
	}
}

func TestOneEmptyLineMayPrecedeTheRequest(t *testing.T) {
	wantReason(t, "one", append([]byte("\r\n"), upgrade("GET /ws HTTP/1.1")...), 0)
	wantReason(t, "two", append([]byte("\r\n\r\n"), upgrade("GET /ws HTTP/1.1")...), ReasonNotHTTP)
}

func TestH23_HTTPVersions(t *testing.T) {
	for version, want := range map[string]Reason{
		"HTTP/1.1": 0, "HTTP/1.9": 0, "HTTP/1.0": ReasonHTTPVersion, "HTTP/2.0": ReasonHTTPVersion, "HTTP/0.9": ReasonHTTPVersion,
		"HTTP/1.1x": ReasonRequestLine, "HTTP/1.10": ReasonRequestLine, "HTTP/x.1": ReasonRequestLine,
	} {
		wantReason(t, version, upgrade("GET /ws "+version), want)
	}
	wantReason(t, "HTTP/1.0 without Host", without(upgrade("GET /ws HTTP/1.0"), "Host"), ReasonHTTPVersion)
	wantReason(t, "HTTP/2 preface", []byte("PRI * HTTP/2.0\r\n\r\n"), ReasonHTTPVersion)
}

func TestH28_PathIsDecodedOnce(t *testing.T) {
	for target, want := range map[string]string{
		"/ws/room":                            "/ws/room",
		"/ws/room?a=%00":                      "/ws/room",
		"/ws?":                                "/ws",
		"//x":                                 "//x",
		"/ws/%2e%2e":                          "/ws/..",
		"/ws/../ws":                           "/ws/../ws",
		"/ws/%252e":                           "/ws/%2e", // not ".": no second decode
		"/ws%2Froom":                          "/ws/room",
		"/ws/k%C3%A4se":                       "/ws/käse",
		"http://example.com/ws/room":          "/ws/room",
		"HTTP://example.com:8080/ws%2Fa?b":    "/ws/a",
		"ws://example.com":                    "/",
		"wss://example.com?x":                 "/",
		"/ws?" + strings.Repeat("a=b&", 1000): "/ws",
	} {
		r, refusal := judge(upgrade("GET " + target + " HTTP/1.1"))
		if refusal != nil || string(r.Path) != want {
			t.Errorf("%.60s: path %q, %v", target, r.Path, refusal)
		}
	}
	for _, target := range []string{
		"/%00", "/a%0d%0ab", "/%7f", "/%", "/%4", "/%4x", "/%zz", "/%ff", "/%C0%AF", "/%E0%80%AF", "/%ED%A0%80", "/%C3", // NUL, controls, not hex, not UTF-8
		"/käse", "/a#b", "ws", "*", "ftp://example.com/", "http://", "http:///ws", "http://user@example.com/", "example.com:80", "://x/",
	} {
		wantReason(t, target, upgrade("GET "+target+" HTTP/1.1"), ReasonTarget)
	}
	wantReason(t, "4,097 bytes", upgrade("GET /"+strings.Repeat("x", MaxTargetBytes)+" HTTP/1.1"), ReasonTargetLength)
	many := upgrade("GET /ws?" + strings.Repeat("a=b&", 5000) + " HTTP/1.1")
	if got := RefuseHead(many[:8192]); got.Reason != ReasonTargetLength {
		t.Errorf("5,000 parameters: %v", got)
	}
}

// parseLine parses a request line alone.
func parseLine(r *Request, line []byte) *Refusal {
	_, refusal := r.CheckStart(line, 0)
	return refusal
}

func TestQueryAndMethodFormsAreKept(t *testing.T) {
	var r Request
	if refusal := parseLine(&r, []byte("GET /ws/a?since=%35&x HTTP/1.1\r\n")); refusal != nil || string(r.Query) != "since=%35&x" {
		t.Errorf("query %q, %v", r.Query, refusal)
	}
	if refusal := parseLine(&r, []byte("OPTIONS * HTTP/1.1\r\n")); refusal != nil || string(r.Path) != "*" || r.Query != nil {
		t.Errorf("path %q, query %q, %v", r.Path, r.Query, refusal)
	}
	if refusal := parseLine(&r, []byte("CONNECT example.com:443 HTTP/1.1\r\n")); refusal != nil || len(r.Path) != 0 {
		t.Errorf("path %q, %v", r.Path, refusal)
	}
}

func TestHostMustBeThereOnce(t *testing.T) {
	valid := upgrade("GET /ws HTTP/1.1")
	wantReason(t, "missing", without(valid, "Host"), ReasonHost)
	wantReason(t, "twice", upgrade("GET /ws HTTP/1.1", "host: example.com:8080"), ReasonHost)
	for _, host := range []string{"", "a b", "a/b", "user@a", "a,b\"", "ä"} {
		wantReason(t, host, head("GET /ws HTTP/1.1", "Host: "+host), ReasonHost)
	}
	r, _ := judge(upgrade("GET http://other.example/ws HTTP/1.1"))
	if string(r.Host) != "other.example" {
		t.Errorf("absolute target: host %q", r.Host)
	}
}

func TestH35_TenThousandCookiesCostNothingUntilAskedFor(t *testing.T) {
	cookies := "Cookie: " + strings.Repeat("a=b; ", 10_000)
	r, refusal := judge(upgrade("GET /ws HTTP/1.1", cookies))
	if refusal != nil || len(r.Header("cookie")) != len("a=b; ")*10_000-1 {
		t.Errorf("%v, %d bytes", refusal, len(r.Header("cookie")))
	}
}

func TestHeaderLookupIgnoresCaseAndAliasesTheHead(t *testing.T) {
	input := upgrade("GET /ws HTTP/1.1", "X-Thing: first", "x-thing: second", "X-Empty:")
	r, _ := judge(input)
	if got := r.Header("x-THING"); string(got) != "first" || &got[0] != &input[bytes.Index(input, got)] {
		t.Errorf("got %q", got)
	}
	if r.Header("X-Empty") == nil || r.Header("X-None") != nil {
		t.Error("an empty header and a missing one are not told apart")
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	input := upgrade("GET /ws/k%C3%A4se HTTP/1.1", "Origin: http://example.com:8080", "User-Agent: test", "Cookie: a=b")
	var r Request
	if allocs := testing.AllocsPerRun(100, func() {
		if r.Parse(input) != nil || r.CheckUpgrade() != nil {
			t.Fatal("refused")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkUpgrade(b *testing.B) {
	input := upgrade("GET /ws/room HTTP/1.1", "Origin: http://example.com:8080", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Pragma: no-cache", "Cache-Control: no-cache", "Accept-Encoding: gzip, deflate, br", "Accept-Language: en-US,en;q=0.9")
	var r Request
	var policy OriginPolicy
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		head := input[:HeadEnd(input, 0)]
		if r.Parse(head) != nil || r.CheckUpgrade() != nil || policy.Lists(r.Header("Origin")) || IsSameHost(r.Header("Origin"), r.Host) {
			b.Fatal("refused")
		}
		AppendSwitchingProtocols(dst, r.Key, "", "")
	}
}
