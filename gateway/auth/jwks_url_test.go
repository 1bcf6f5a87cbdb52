package auth_test

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/gateway"
	"sluice/gateway/auth"
)

// A JWK Set at a URL: a key that is not known is asked for, on a goroutine and not on a loop, but
// not for everybody who names one; until there is any, who comes is asked to come again. Secrets in
// it, which all can read, count for nothing.
func TestKeysAreFetchedFromAURL(t *testing.T) {
	k := keys()
	var mu sync.Mutex
	set, fetches := []byte(nil), 0
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if fetches++; set == nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write(set)
	}))
	defer issuer.Close()
	publish := func(p []byte) {
		mu.Lock()
		defer mu.Unlock()
		set = p
	}
	fetched := func() int {
		mu.Lock()
		defer mu.Unlock()
		return fetches
	}
	failed := make(chan error, 10)
	start := func() *auth.JWT {
		j := newJWT(t, auth.Options{
			KeysURL:    strings.Replace(issuer.URL, "http://", "http://user:hunter2@", 1) + "/?key=hunter2",
			KeysFailed: func(err error) { failed <- err },
		})
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		if err := j.Fetch(ctx); err != nil {
			t.Fatal(err)
		}
		j.FetchOnce()
		return j
	}
	ask := func(j *auth.JWT, token string) (string, error) {
		h := &gateway.Handshake{Token: token}
		if _, err := j.Judge(h); !errors.Is(err, gateway.ErrAsk) {
			return "judged at once", err
		}
		_, err := j.Ask(t.Context(), h)
		return "asked", err
	}
	one, two := mint(rs256(k.rsa), may(), object{"kid": "1"}), mint(es("ES256", crypto.SHA256, k.p256), may(), object{"kid": "2"})

	j := start()
	if err := <-failed; err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("heard %v", err)
	}
	how, err := ask(j, one)
	if denied := new(gateway.AuthError); !errors.As(err, &denied) || denied.Status != 503 {
		t.Errorf("without any key: %s %v", how, err)
	}
	if n := fetched(); n < 1 || n > 2 {
		t.Errorf("%d fetches", n)
	}

	publish(jwks(jwk(&k.rsa.PublicKey, object{"kid": "1"}), jwk(k.secret, object{"kid": "oct", "alg": "HS256"})))
	j = start()
	if how, err := ask(j, one); how != "judged at once" || err != nil {
		t.Errorf("%s %v", how, err)
	}
	if _, err := ask(j, mint(hs256(k.secret), may(), object{"kid": "oct"})); err == nil {
		t.Error("a secret that all can read is a key")
	}
	// The key is changed. Whoever comes first with it brings it here; of those who name others none
	// makes us fetch for some seconds.
	publish(jwks(jwk(k.p256.Public(), object{"kid": "2"})))
	j = start()
	publish(jwks(jwk(k.p256.Public(), object{"kid": "2"}), jwk(&k.rsa.PublicKey, object{"kid": "1"})))
	before := fetched()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if how, err := ask(j, one); err != nil {
				t.Errorf("%s %v", how, err)
			}
		})
	}
	all.Wait()
	for _, kid := range []string{"3", "4", "5", "6"} {
		if _, err := ask(j, mint(rs256(k.rsa), may(), object{"kid": kid})); err == nil || !strings.Contains(err.Error(), "not known") {
			t.Errorf("%v", err)
		}
	}
	if how, err := ask(j, two); how != "judged at once" || err != nil {
		t.Errorf("%s %v", how, err)
	}
	if n := fetched() - before; n != 1 {
		t.Errorf("%d fetches for keys that are not known, want 1", n)
	}
}

// A06. Keys change while somebody else's token has had the set fetched just now. A client that
// comes with the new key is not told that its token is no good, which a client of the protocol
// would take for the end, but to come again; who has been looked for is.
func TestA06_NewKeyIsNotRefusedBeforeItWasLookedFor(t *testing.T) {
	k := keys()
	var isDown atomic.Bool
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if isDown.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write(jwks(jwk(k.p256.Public(), object{"kid": "there"})))
	}))
	defer issuer.Close()
	status := func(j *auth.JWT, kid string) int {
		_, err := j.Ask(t.Context(), &gateway.Handshake{Token: mint(rs256(k.rsa), may(), object{"kid": kid})})
		denied := new(gateway.AuthError)
		if !errors.As(err, &denied) {
			t.Errorf("%s: %v", kid, err)
		}
		return denied.Status
	}
	for _, tc := range []struct {
		isDown              bool
		first, again, other int
	}{
		{false, 401, 401, 503},
		{true, 503, 503, 503},
	} {
		isDown.Store(false)
		j := newJWT(t, auth.Options{KeysURL: issuer.URL})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := j.Fetch(ctx); err != nil {
			t.Fatal(err)
		}
		j.FetchOnce()
		isDown.Store(tc.isDown)
		first, again, other := status(j, "gone"), status(j, "gone"), status(j, "new")
		if first != tc.first || again != tc.again || other != tc.other {
			t.Errorf("%+v: %d, %d, %d", tc, first, again, other)
		}
	}
}

// A06. Beside a key in a file that has no id, and so may be any, the set of a URL is asked for a
// key that nobody has as well: an issuer's new key is not to be refused for the hour until the set
// is fetched next. A client that makes ids up gets no more fetches than without the file.
func TestA06_NewKeysAreFetchedBesideAFileWithoutIDs(t *testing.T) {
	k := keys()
	var mu sync.Mutex
	set, fetches := jwks(jwk(k.p256.Public(), object{"kid": "old"})), 0
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fetches++
		w.Write(set)
	}))
	defer issuer.Close()
	j := newJWT(t, auth.Options{KeysURL: issuer.URL, KeyFiles: []string{write(t, "rsa.pem", publicPEM(t, &k.rsa.PublicKey))}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := j.Fetch(ctx); err != nil {
		t.Fatal(err)
	}
	j.FetchOnce()
	mu.Lock()
	set = jwks(jwk(k.p256.Public(), object{"kid": "old"}), jwk(&k.otherRSA.PublicKey, object{"kid": "new"}))
	fetches = 0
	mu.Unlock()
	for _, step := range []struct {
		name, token string
		asks        bool
		refused     string
	}{
		{"the file's key", mint(rs256(k.rsa), may(), nil), false, ""},
		{"the file's key, under any id", mint(rs256(k.rsa), may(), object{"kid": "any"}), false, ""},
		{"no id, another key", mint(rs256(k.otherRSA), may(), nil), false, "signature"},
		{"an id that is known, another key", mint(es("ES256", crypto.SHA256, k.p384), may(), object{"kid": "old"}), false, "signature"},
		{"expired under the file's key", mint(rs256(k.rsa), may(object{"exp": 1}), object{"kid": "any"}), false, "expired"},
		{"the set's new key", mint(rs256(k.otherRSA), may(), object{"kid": "new"}), true, ""},
		{"the set's new key again", mint(rs256(k.otherRSA), may(), object{"kid": "new"}), false, ""},
		{"an id made up", mint(rs256(k.otherRSA), may(), object{"kid": "none-1"}), true, "not known"},
		{"an id made up, another algorithm", mint(eddsa(k.ed), may(), object{"kid": "none-2"}), true, "not known"},
	} {
		h := &gateway.Handshake{Token: step.token}
		_, err := j.Judge(h)
		if asks := errors.Is(err, gateway.ErrAsk); asks != step.asks {
			t.Errorf("%s: asks %t (%v)", step.name, asks, err)
		} else if asks {
			_, err = j.Ask(t.Context(), h)
		}
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Errorf("%s: %v, want %q", step.name, err, step.refused)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if fetches != 1 {
		t.Errorf("%d fetches, want 1", fetches)
	}
}
