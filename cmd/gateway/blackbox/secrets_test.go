package blackbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// sign makes a token of a secret, by RFC 7515 alone.
func sign(secret string, claims map[string]any) string {
	b64 := base64.RawURLEncoding.EncodeToString
	body, _ := json.Marshal(claims)
	input := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64(body)
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(input))
	return input + "." + b64(m.Sum(nil))
}

// No secret reaches a log at any level, an answer or a page: tokens, good and bad, in all the ways
// in which they come, cookies, keys, what stands in a service's address. Each has words of its own
// in it, which all output is searched for.
func TestA06_SecretsReachNoOutput(t *testing.T) {
	const planted = "hunter2planted"
	dir := t.TempDir()
	secret := planted + "-this-is-the-secret-of-the-tokens"
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, keyFile := "sluice_"+planted+"_of_the_admin_listener", filepath.Join(dir, "admin.key")
	if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	may := map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "caps": []any{map[string]any{"rooms": []string{"a.*"}, "may": []string{"read"}}}}
	good, other := sign(secret, may), sign("another secret of some thirty-two bytes", may)
	needles := []string{planted, good[strings.LastIndex(good, ".")+1:], other[strings.LastIndex(other, ".")+1:], strings.Split(good, ".")[1], base64.StdEncoding.EncodeToString([]byte(planted))[:16]}
	ask := func(addr, path string, lines ...string) int {
		c := wstest.Connect(t, addr)
		defer c.Close()
		c.Send(wstest.UpgradeHead(path, lines...))
		r, text := c.Response()
		fmt.Fprintln(&said, r.Status, r.Header, text)
		if r.StatusCode == http.StatusSwitchingProtocols {
			c.Send(wstest.MaskedText(planted)) // A message of a client that may only read.
			c.ExpectClose(4003)
		}
		return r.StatusCode
	}
	get := func(url, bearer string) {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		request.Close = true
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Fprintln(&said, answer.Header, string(text))
	}
	everyWay := func(addr string) {
		const page = "Origin: http://sluice.test"
		for _, token := range []string{good, other, planted, planted + "." + planted + "." + planted} {
			for _, room := range []string{"/ws/a.b", "/ws/b"} {
				want := http.StatusUnauthorized
				if token == good && room == "/ws/a.b" {
					want = http.StatusSwitchingProtocols
				} else if token == good {
					want = http.StatusForbidden
				}
				for way, status := range map[string]int{
					"header": ask(addr, room, "Authorization: Bearer "+token),
					"query":  ask(addr, room+"?token="+token),
					"offer":  ask(addr, room, "Sec-WebSocket-Protocol: bearer, "+token),
					"cookie": ask(addr, room, page, "Cookie: session="+token),
				} {
					if status != want {
						t.Errorf("%s by %s: %d, want %d", room, way, status, want)
					}
				}
			}
			ask(addr, "/ws/a.b?token="+token, "Authorization: Bearer "+planted) // several
			ask(addr, "/ws/a.b%2F?token="+token)                                // no room
			ask(addr, "/ws/a.b?token="+token, "Origin: https://evil.example")   // no page
			ask(addr, "/elsewhere?token="+token)
		}
		for _, path := range []string{"/", "/?token=" + good, "/nothing?token=" + good} {
			get("http://"+addr+path, good)
		}
	}
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--log-level=debug", "--auth=jwt", "--auth-hmac-file="+file,
		"--auth-jwks-url=http://user:"+planted+"@127.0.0.1:1/"+planted+"?key="+planted, "--auth-cookie=session", "--allow-host=sluice.test",
		"--admin-listen=127.0.0.1:0", "--admin-key-file="+keyFile))
	everyWay(p.Addr)
	there := wstest.Connect(t, p.Addr) // Somebody for the pages to tell of.
	there.Send(wstest.UpgradeHead("/ws/a.there?token=" + good))
	there.ExpectUpgrade()
	admin := p.ExpectLog(`the admin listener is open" address=(127\S+)`)
	for _, path := range []string{"/", "/status.json", "/metrics", "/debug/pprof/goroutine?debug=2", "/api/connections", "/api/rooms", "/api/info", "/api/rooms/a.there", "/openapi.json", "/nothing?api_key=" + key} {
		for _, given := range []string{key, planted, good} {
			get("http://"+admin+path, given)
		}
	}
	there.Close()
	p.InsistOnEnd(os.Interrupt)
	said.WriteString(p.Logged())

	p = proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--log-level=debug", "--auth-url=http://user:"+planted+"@127.0.0.1:1/"+planted+"?key="+planted))
	if status := ask(p.Addr, "/ws/a.b?token="+good, "Cookie: session="+planted); status != http.StatusServiceUnavailable {
		t.Errorf("without a service: %d", status)
	}
	p.InsistOnEnd(os.Interrupt)
	said.WriteString(p.Logged())

	// What is said of secrets that are none.
	if err := os.WriteFile(file, []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--auth=jwt", "--auth-hmac-file=" + file},
		{"--auth=jwt", "--auth-key-file=" + file},
		{"--auth=jwt", "--auth-jwks-url=gopher://" + planted},
		{"--auth-url=" + planted},
		{"token", "--room=a", "--key-file=" + file},
		{"token", "--room=a", "--hmac-file=" + file},
	} {
		status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, args...))
		if status != 2 || stderr == "" {
			t.Errorf("%s: status %d, %q", args[0], status, stderr)
		}
		said.WriteString(stdout + stderr)
	}
	for _, needle := range needles {
		if i := strings.Index(said.String(), needle); i >= 0 {
			t.Errorf("a secret is said: …%s…", said.String()[max(0, i-200):min(said.Len(), i+100)])
		}
	}
	if said.Len() < 10_000 || !strings.Contains(said.String(), "client joined") || !strings.Contains(said.String(), "reason=unauthorized") ||
		!strings.Contains(said.String(), `"room":"a.there"`) {
		t.Errorf("only %d bytes were said, which proves little: %s", said.Len(), said.String())
	}
}
