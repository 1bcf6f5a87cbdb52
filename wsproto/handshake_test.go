package wsproto

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestH01_MinimalUpgradeIsAnsweredWithTheRightAccept(t *testing.T) {
	r, refusal := judge(upgrade("GET /ws HTTP/1.1"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	got := AppendSwitchingProtocols(nil, r.Key, "", "")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %q", err, got)
	}
	defer resp.Body.Close()
	for name, want := range map[string]string{
		"Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", // RFC 6455 §1.3
		"Upgrade":              "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "", "Content-Length": "",
	} {
		if resp.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, resp.Header.Get(name), want)
		}
	}
	if HeadEnd(got, 0) != len(got) {
		t.Error("bytes behind the blank line")
	}
	if got := string(AppendSwitchingProtocols(nil, r.Key, "sluice.v1", "")); !strings.HasSuffix(got, "\r\nSec-WebSocket-Protocol: sluice.v1\r\n\r\n") {
		t.Errorf("with a protocol: %q", got)
	}
}

func TestHeaderNamesAndTokensIgnoreCaseAndMayBeLists(t *testing.T) {
	wantReason(t, "odd case and lists", head("GET /ws HTTP/1.1", "HOST: a", "upgrade: h2c , WebSocket", "CONNECTION: keep-alive",
		"connection: ,,UPGRADE", "sec-websocket-version:13", "sec-websocket-KEY:"+testKey), 0)
	wantReason(t, "list in one line", head("GET /ws HTTP/1.1", "Host: a", "Upgrade: websocket, h2c", "Connection: Upgrade, HTTP2-Settings",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+testKey), 0)
}

func TestH10_DoubledKeyOrVersionIsRefused(t *testing.T) {
	wantReason(t, "key", upgrade("GET /ws HTTP/1.1", "sec-websocket-key: "+testKey), ReasonKey)
	wantReason(t, "version", upgrade("GET /ws HTTP/1.1", "Sec-WebSocket-Version: 13"), ReasonVersionHeader)
	wantReason(t, "origin", upgrade("GET /ws HTTP/1.1", "Origin: http://a", "Origin: http://b"), ReasonHeader)
}

func TestH11_KeyMustBeSixteenBytesInBase64(t *testing.T) {
	valid := without(upgrade("GET /ws HTTP/1.1"), "Sec-WebSocket-Key")
	with := func(key string) []byte {
		return append(bytes.Clone(valid[:len(valid)-2]), "Sec-WebSocket-Key: "+key+"\r\n\r\n"...)
	}
	wantReason(t, "missing", valid, ReasonKey)
	wantReason(t, "valid", with(testKey), 0)
	for _, key := range []string{
		"", "short", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "!!!!!!!!!!!!!!!!!!!!!!==", "dGhlIHNhbXBsZSBub25jZQQQ", // 18 bytes
		"dGhlIHNhbXBsZSBub25jZQA=", "dGhlIHNhbXBs ZSBub25jZQ=", "dGhlIHNhbXBsZSBub25j_-==", "====dGhlIHNhbXBsZSBub25j",
	} {
		wantReason(t, key, with(key), ReasonKey)
	}
}

func TestH16_BodyOnTheHandshakeIsRefused(t *testing.T) {
	wantReason(t, "length", upgrade("GET /ws HTTP/1.1", "Content-Length: 5"), ReasonBody)
	wantReason(t, "encoding", upgrade("GET /ws HTTP/1.1", "Transfer-Encoding: chunked"), ReasonBody)
}

func TestH20_UpgradeToSomethingElseIsNotTaken(t *testing.T) {
	valid := without(upgrade("GET /ws HTTP/1.1", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), "Upgrade")
	wantReason(t, "no upgrade", valid, ReasonNoUpgrade)
	for _, value := range []string{"h2c", "websockets", "web socket", "websocket/13", ""} {
		wantReason(t, value, append(bytes.Clone(valid[:len(valid)-2]), "Upgrade: "+value+"\r\n\r\n"...), ReasonNoUpgrade)
	}
}

func TestH22_ConnectionMustNameUpgrade(t *testing.T) {
	valid := without(upgrade("GET /ws HTTP/1.1"), "Connection")
	wantReason(t, "missing", valid, ReasonConnection)
	for _, value := range []string{"keep-alive", "upgraded", "up grade", ""} {
		wantReason(t, value, append(bytes.Clone(valid[:len(valid)-2]), "Connection: "+value+"\r\n\r\n"...), ReasonConnection)
	}
}

func TestH25_OtherMethodsAreNotAllowed(t *testing.T) {
	for _, method := range []string{"POST", "HEAD", "CONNECT", "OPTIONS", "get", "PUT", "BREW"} {
		_, refusal := judge(upgrade(method+" /ws HTTP/1.1", "Content-Length: 3"))
		if refusal == nil || refusal.Status != 405 || refusal.Reason != ReasonMethod {
			t.Errorf("%s: %v", method, refusal)
			continue
		}
		if method == "HEAD" {
			refusal = refusal.ToHEAD()
		}
		resp, body := response(t, refusal, method)
		if resp.Header.Get("Allow") != "GET" || (body == "") != (method == "HEAD") {
			t.Errorf("%s: Allow %q, body %q", method, resp.Header.Get("Allow"), body)
		}
	}
}

func TestH26_OnlyVersion13IsSpoken(t *testing.T) {
	valid := without(upgrade("GET /ws HTTP/1.1"), "Sec-WebSocket-Version")
	wantReason(t, "missing", valid, ReasonVersionHeader)
	for _, version := range []string{"12", "13, 8", "8, 13", "013", "14", ""} {
		_, refusal := judge(append(bytes.Clone(valid[:len(valid)-2]), "Sec-WebSocket-Version: "+version+"\r\n\r\n"...))
		if refusal == nil || refusal.Status != 426 {
			t.Errorf("%q: %v", version, refusal)
			continue
		}
		resp, _ := response(t, refusal, "GET")
		if resp.Header.Get("Sec-WebSocket-Version") != "13" || resp.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%q: headers %v", version, resp.Header)
		}
	}
}

func TestH29_SubprotocolListIsReadInLinearTime(t *testing.T) {
	list := "Sec-WebSocket-Protocol: " + strings.Repeat(" ,", 3800)
	r, refusal := judge(upgrade("GET /ws HTTP/1.1", list+"chat", "sec-websocket-protocol: a ,b,, \tsluice.v1"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	var got []string
	for p := range r.Subprotocols {
		got = append(got, string(p))
	}
	if !slices.Equal(got, []string{"chat", "a", "b", "sluice.v1"}) {
		t.Errorf("got %q", got)
	}
	for p := range r.Subprotocols {
		if string(p) != "chat" {
			t.Errorf("went on to %q after the end of the loop", p)
		}
		break
	}
	wantReason(t, "32 KiB", upgrade("GET /ws HTTP/1.1", "Sec-WebSocket-Protocol: "+strings.Repeat(" ,", 16<<10)), 0)
}

// response reads a refusal's response with net/http and checks what all have in common.
func response(t *testing.T, refusal *Refusal, method string) (*http.Response, string) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(refusal.AppendResponse(nil)))
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v: %v", refusal, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || in.Buffered() != 0 {
		t.Errorf("%v: body %v, %d bytes behind it", refusal, err, in.Buffered())
	}
	if resp.StatusCode != refusal.Status || !resp.Close {
		t.Errorf("%v: status %d, close %t", refusal, resp.StatusCode, resp.Close)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("%v: type %q", refusal, got)
	}
	return resp, string(body)
}

func TestEveryRefusalIsAWholeResponse(t *testing.T) {
	names := map[string]bool{}
	for reason := Reason(1); reason < NumReasons; reason++ {
		refusal := Refuse(reason)
		resp, body := response(t, refusal, "GET")
		if body != refusal.Text+"\n" || refusal.Text == "" || strings.ContainsAny(refusal.Text, "\r\n") {
			t.Errorf("%v: body %q", reason, body)
		}
		if refusal.Reason != reason || names[reason.String()] || refusal.Error() != strconv.Itoa(refusal.Status)+" "+refusal.Text {
			t.Errorf("%v: %+v", reason, refusal)
		}
		names[reason.String()] = true
		if named := bytes.Contains(refusal.AppendResponse(nil), []byte("Connection: close, Upgrade\r\n")); named != (refusal.Status == 426) {
			t.Errorf("%v: Connection names Upgrade: %t", reason, named)
		}
		// H19: a refusal that is not about the upgrade must not look like one to a proxy.
		if (resp.Header.Get("Upgrade") != "") != (refusal.Status == 426) {
			t.Errorf("%v: Upgrade %q", reason, resp.Header.Get("Upgrade"))
		}
	}
}

func TestClientHandshakeIsOneTheServerTakes(t *testing.T) {
	input := AppendClientHandshake(nil, "[::1]:8080", "/ws/room", testKey, "Origin: http://[::1]:8080", "X: y")
	r, refusal := judge(input)
	if refusal != nil || string(r.Path) != "/ws/room" || string(r.Host) != "[::1]:8080" || string(r.Header("X")) != "y" {
		t.Errorf("%v: %q", refusal, input)
	}
	for _, deflate := range []bool{false, true} {
		answer := ""
		if deflate {
			answer = deflateAnswer
		}
		got, err := CheckServerHandshake(AppendSwitchingProtocols(nil, r.Key, "", answer), testKey, true)
		if err != nil || got != deflate {
			t.Errorf("deflate %t: %t, %v", deflate, got, err)
		}
	}
}

func TestClientRefusesAServerThatDidNotUpgrade(t *testing.T) {
	good := string(AppendSwitchingProtocols(nil, []byte(testKey), "", ""))
	for _, c := range []struct{ name, head, want string }{
		{"refused", string(Refuse(ReasonUnavailable).AppendResponse(nil)), "503 Service Unavailable"},
		{"other key", string(AppendSwitchingProtocols(nil, []byte("AAAAAAAAAAAAAAAAAAAAAA=="), "", "")), "Accept"},
		{"no accept", strings.Replace(good, "Sec-WebSocket-Accept", "X", 1), "Accept"},
		{"no upgrade", strings.Replace(good, "websocket", "h2c", 1), "upgrade"},
		{"no connection", strings.Replace(good, "Connection: Upgrade", "Connection: close", 1), "upgrade"},
		{"folded", strings.Replace(good, "Connection", " Connection", 1), "malformed"},
		{"no blank line", strings.TrimSuffix(good, "\r\n\r\n"), "malformed"},
		{"not HTTP", "SSH-2.0-OpenSSH", "status line"},
		{"empty", "", "status line"},
	} {
		_, err := CheckServerHandshake([]byte(c.head), testKey, false)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one that says %q", c.name, err, c.want)
		}
	}
}

func TestAnswersAllocateNothing(t *testing.T) {
	dst, key := make([]byte, 0, 1024), []byte(testKey)
	if allocs := testing.AllocsPerRun(100, func() {
		AppendSwitchingProtocols(dst, key, "sluice.v1", "")
		Refuse(ReasonNoUpgrade).AppendResponse(dst)
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
