package auth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// A key that was looked for and not there is not refused for that while the set cannot be fetched:
// it may be there by now. What was fetched counts on.
func TestKeyThatWasAbsentIsLookedForAnew(t *testing.T) {
	const there = `{"kty":"OKP","crv":"Ed25519","kid":"there","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	const both = there + `,{"kty":"OKP","crv":"Ed25519","kid":"late","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	var set atomic.Value
	set.Store(there)
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if set.Load() == "" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(`{"keys":[` + set.Load().(string) + `]}`))
	}))
	defer issuer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := newRemoteKeys(issuer.URL, nil)
	r.pace.SetLimit(rate.Inf)
	if err := r.fetch(ctx); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		set         string
		tells, late bool
	}{
		{there, true, false}, {"", false, false}, {there, true, false}, {"", false, false}, {both, true, true}, {"", true, true},
	} {
		set.Store(step.set)
		if tells := r.refresh("late"); tells != step.tells || r.has("late") != step.late || !r.has("there") {
			t.Errorf("the set is %q: can tell: %t, it is there: %t", step.set, tells, r.has("late"))
		}
	}
}

// A key that is published a moment behind the first token that it has signed is found soon.
func TestKeyThatIsPublishedLateIsFoundSoon(t *testing.T) {
	pace := newRemoteKeys("", nil).pace
	now := time.Now()
	if !pace.AllowN(now, 1) || pace.AllowN(now.Add(time.Second), 1) || !pace.AllowN(now.Add(3*time.Second), 1) {
		t.Error("the set is not fetched anew three seconds later, or at once")
	}
}

// silent is an issuer that takes connections and answers nothing.
type silent struct{ requests int }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// While the issuer does not answer, who waits for a key does so for one attempt. Those behind are
// told at once to come again, for as long as anybody is told so.
func TestOneAttemptIsWaitedForAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		issuer := new(silent)
		r := newRemoteKeys("http://issuer.example/keys", nil)
		r.client.Transport = issuer
		if err := r.fetch(ctx); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 10 {
			if r.refresh("a") {
				t.Error("it can be told that there is no such key")
			}
		}
		if waited := time.Since(began); issuer.requests != 2 || waited > refreshTimeout {
			t.Errorf("%d attempts in %v", issuer.requests, waited)
		}
		time.Sleep(refreshEvery)
		if r.refresh("a"); issuer.requests != 3 {
			t.Errorf("%d attempts a while later", issuer.requests)
		}
	})
}

// What fails because all is over is no failure.
func TestEndOfFetchingIsNotHeardOf(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRemoteKeys("http://127.0.0.1:1/", func(err error) { t.Errorf("heard %v", err) })
	if err := r.fetch(ctx); err != nil {
		t.Fatal(err)
	}
}

// Whoever is between the gateway and an address without TLS could hand over keys of their own.
func TestRedirectDoesNotLeaveTLS(t *testing.T) {
	const keys = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"there","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(keys)) })
	bare, private := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer bare.Close()
	defer private.Close()
	for _, to := range []string{bare.URL, private.URL} {
		issuer := httptest.NewTLSServer(http.RedirectHandler(to, http.StatusFound))
		defer issuer.Close()
		var said error
		r := newRemoteKeys(issuer.URL, func(err error) { said = err })
		r.client.Transport = issuer.Client().Transport
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := r.fetch(ctx); err != nil {
			t.Fatal(err)
		}
		if isFetched := r.has("there"); isFetched != (to == private.URL) || isFetched != (said == nil) {
			t.Errorf("redirected to %s: keys were taken: %t, said was %v", to, isFetched, said)
		}
	}
}
