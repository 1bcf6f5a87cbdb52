package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/gateway/auth"
	"sluice/internal/gatewaytest"
	"sluice/internal/sdktest"
	"sluice/internal/testenv"
)

// centrifugo is the path of a Centrifugo, which these tests are then held to instead of a gateway,
// as far as they ask for what both do: what a test expects of the protocol should be no opinion of
// ours.
func centrifugo() string { return os.Getenv("SLUICE_CENTRIFUGO") }

// An endpoint is where SDKs connect, with what backends publish by.
type endpoint struct {
	t        *testing.T
	addr     string // host:port
	api, key string
	backend  *http.Client
	log      sdktest.Log
}

// secret signs tokens where somebody has to be known.
const secret = "a secret that nobody else has, of 32 bytes and more"

// startEndpoint starts a gateway with an API for backends, or a Centrifugo.
func startEndpoint(t *testing.T, o gateway.Options) *endpoint {
	t.Helper()
	e := &endpoint{t: t, backend: &http.Client{Timeout: testenv.Patience, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	t.Cleanup(e.backend.CloseIdleConnections)
	if centrifugo() != "" {
		e.launch(o)
		return e
	}
	s, addr := gatewaytest.Start(t, o)
	e.addr, e.key = addr, admin.NewKey()
	keys, err := admin.ParseKeys(e.key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := admin.New(s, admin.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	e.api = server.URL + "/api/"
	return e
}

// launch starts a Centrifugo with rooms that keep as much as any of these tests'.
func (e *endpoint) launch(o gateway.Options) {
	e.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	e.addr, e.key = l.Addr().String(), "key"
	e.api = "http://" + e.addr + "/api/"
	l.Close()
	host, port, _ := net.SplitHostPort(e.addr)
	config, err := json.Marshal(map[string]any{
		"http_server": map[string]any{"address": host, "port": port},
		"usage_stats": map[string]any{"disabled": true},
		"http_api":    map[string]any{"key": e.key},
		"client": map[string]any{
			"allow_anonymous_connect_without_token": o.Auth == nil, "allowed_origins": []string{"*"},
			"token": map[string]any{"hmac_secret_key": secret},
		},
		"channel": map[string]any{"without_namespace": map[string]any{
			"presence": true, "join_leave": true, "history_size": 1000, "history_ttl": "600s", "force_recovery": true, "force_positioning": true,
			"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "allow_publish_for_client": true,
			"allow_publish_for_anonymous": true, "allow_history_for_client": true, "allow_history_for_anonymous": true,
			"allow_presence_for_client": true, "allow_presence_for_anonymous": true,
		}},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	file := filepath.Join(e.t.TempDir(), "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		e.t.Fatal(err)
	}
	cmd := exec.Command(centrifugo(), "--config", file)
	cmd.Stdout, cmd.Stderr = testenv.LogTo(e.t), testenv.LogTo(e.t)
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	testenv.Eventually(e.t, "Centrifugo listens", func() bool {
		c, err := net.Dial("tcp", e.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// spokenAt is where SDKs connect at a host and port that lead to the endpoint.
func spokenAt(addr string) string { return "ws://" + addr + "/connection/websocket" }

// open opens an SDK's client at the endpoint itself, with tokens, if any.
func (e *endpoint) open(kind sdktest.Kind, tokens ...string) sdktest.SDK {
	e.t.Helper()
	return kind.Open(e.t, sdktest.Options{URL: spokenAt(e.addr), Tokens: tokens})
}

// do asks the API for something.
func (e *endpoint) do(method string, request, result any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, e.api+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-API-Key", e.key)
	answer, err := e.backend.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var all struct {
		Result json.RawMessage  `json:"result"`
		Error  *sdktest.Refusal `json:"error"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return fmt.Errorf("%s: %s, %w", method, answer.Status, err)
	}
	if all.Error != nil {
		return all.Error
	}
	return json.Unmarshal(all.Result, result)
}

// publish publishes JSON from a backend, and adds it to the log. The rooms that tests publish in so
// have one publisher each.
func (e *endpoint) publish(room, data string) error {
	var at sdktest.Position
	err := e.do("publish", map[string]any{"channel": room, "data": json.RawMessage(data)}, &at)
	if err == nil {
		e.log.Add(room, at, data)
	}
	return err
}

// publishPatiently is publish for a room whose readers may be behind: it comes again where it is
// asked to.
func (e *endpoint) publishPatiently(room, data string) {
	e.t.Helper()
	testenv.Eventually(e.t, "a room that takes more", func() bool {
		err := e.publish(room, data)
		var full *sdktest.Refusal
		if err != nil && !(errors.As(err, &full) && full.Code == 111) {
			e.t.Fatal(err)
		}
		return err == nil
	})
}

// publishNumbers publishes numbers from one on, up to another, in each room in turn.
func (e *endpoint) publishNumbers(rooms []string, from, to int) error {
	for i := from; i < to; i++ {
		for _, room := range rooms {
			if err := e.publish(room, fmt.Sprintf(`{"n":%d}`, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// spoken are options for SDKs: rooms that keep something and tell who is there, and pages of any
// origin.
func spoken() gateway.Options {
	o := gatewaytest.Options()
	o.AllowOrigin = []string{"*"}
	o.Rooms = []gateway.RoomRule{{Pattern: "*", Presence: true, Joins: true}}
	o.Anonymous = []gateway.Grant{{Rooms: []string{"*"}, May: gateway.Read | gateway.Publish | gateway.Presence | gateway.History}}
	o.History = []gateway.HistoryRule{{Pattern: "*", Messages: 1000, Bytes: 8 << 20}}
	return o.Defaults()
}

// known are spoken, where a client has to have a token.
func known(t *testing.T) gateway.Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	o := spoken()
	o.Anonymous = nil
	var err error
	if o.Auth, err = auth.NewJWT(auth.Options{SecretFiles: []string{file}, Leeway: -1}); err != nil {
		t.Fatal(err)
	}
	return o
}

// token signs claims for somebody, until a time from now.
func token(t *testing.T, sub string, ttl time.Duration, more jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": sub, "exp": time.Now().Add(ttl).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// sdks are those that a test of this size visits with.
func sdks(t *testing.T) []sdktest.Kind {
	t.Helper()
	kinds := sdktest.OfGo
	if testenv.IsWholeSize(t) {
		kinds = append(kinds[:len(kinds):len(kinds)], sdktest.OfNPM...)
	}
	return kinds
}
