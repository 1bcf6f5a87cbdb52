package auth_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/gateway/auth"
)

// fetched is a JWT by the keys that a server answers with so, and what was heard of its failures.
func fetched(t *testing.T, status int, body []byte) (j *auth.JWT, failure string) {
	t.Helper()
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(issuer.Close)
	j = newJWT(t, auth.Options{KeysURL: issuer.URL, KeysFailed: func(err error) { failure += err.Error() }})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	if err := j.Fetch(ctx); err != nil {
		t.Fatal(err)
	}
	return j, failure
}

// A set may have keys of kinds that are not known here, and some that are not whole, in a file and
// at a URL: those beside them count (RFC 7517 §5).
func TestKeysOfOtherKindsAreLeftOut(t *testing.T) {
	k := keys()
	set := jwks(
		object{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "1"},
		object{"kty": "EC", "crv": "secp256k1", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32)), "kid": "2"},
		object{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "kid": "no point of the curve"},
		object{"kty": "RSA", "kid": "nothing"},
		object{"kty": 7},
		jwk(k.ed.Public(), object{"kid": "3", "use": "something"}),
		jwk(k.ed.Public(), object{"kid": "4", "key_ops": []string{"dance"}}),
		jwk(k.p256.Public(), object{"kid": "good"}),
	)
	remote, failure := fetched(t, http.StatusOK, set)
	if failure != "" {
		t.Errorf("heard %s", failure)
	}
	for name, j := range map[string]*auth.JWT{"a URL": remote, "a file": newJWT(t, auth.Options{KeyFiles: []string{write(t, "set.json", set)}})} {
		if _, refused := judge(j, mint(es("ES256", crypto.SHA256, k.p256), may(), object{"kid": "good"})); refused != "" {
			t.Errorf("%s: %s", name, refused)
		}
		if _, refused := judge(j, mint(eddsa(k.ed), may(), object{"kid": "3"})); refused == "" {
			t.Errorf("%s: a key of another use verifies", name)
		}
	}
}

// What is no set is none, and said to be none, however much of it there is.
func TestWhatIsNoKeySetIsHeardOf(t *testing.T) {
	good := string(jwks(jwk(keys().ed.Public(), object{"kid": "good"})))
	for body, want := range map[string]struct {
		status int
		heard  string
	}{
		"":                                   {200, "no JWK Set"},
		"<html>":                             {200, "no JWK Set"},
		"[]":                                 {200, "no JWK Set"},
		`{"error":"hunter2"}`:                {200, "no JWK Set"},
		`{"keys":null}`:                      {200, "no JWK Set"},
		good:                                 {404, "status 404"},
		good + strings.Repeat(" ", 1<<20):    {200, "more than 1048576 bytes"},
		good + "\n" + good:                   {200, "no JWK Set"},
		`{"keys":[]}`:                        {200, "no key of the JWK Set"},
		good[:len(good)-1] + `,"more":[{}]}`: {200, ""},
	} {
		j, heard := fetched(t, want.status, []byte(body))
		if (heard == "") != (want.heard == "") || !strings.Contains(heard, want.heard) || strings.Contains(heard, "hunter2") {
			t.Errorf("%.40q: heard %q, want %q", body, heard, want.heard)
		}
		_, err := j.Judge(&gateway.Handshake{Token: mint(eddsa(keys().ed), may(), object{"kid": "good"})})
		if isThere := strings.Contains(body, "more"); isThere != (err == nil) || !isThere && !errors.Is(err, gateway.ErrAsk) {
			t.Errorf("%.40q: a token is judged %v", body, err)
		}
	}
}

// A token that names no key is tried with a few, and not with as many as there are: anybody may
// bring one.
func TestTokenWithoutAKeyIsTriedWithAFew(t *testing.T) {
	var all []object
	var last ed25519.PrivateKey
	add := func(n int) *auth.JWT {
		for range n {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			all, last = append(all, jwk(public, object{"kid": b64(public)})), private
		}
		return newJWT(t, auth.Options{KeyFiles: []string{write(t, "set.json", jwks(all...))}})
	}
	j := add(32)
	if _, refused := judge(j, mint(eddsa(last), may(), nil)); refused != "" {
		t.Error(refused)
	}
	j = add(1)
	if _, refused := judge(j, mint(eddsa(last), may(), nil)); !strings.Contains(refused, "has to name one") {
		t.Errorf("refused: %q", refused)
	}
	if _, refused := judge(j, mint(eddsa(last), may(), object{"kid": b64(last.Public().(ed25519.PublicKey))})); refused != "" {
		t.Error(refused)
	}
}
