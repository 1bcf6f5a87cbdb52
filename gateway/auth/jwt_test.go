package auth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/auth"
	"sluice/internal/testenv"
)

func newJWT(t *testing.T, o auth.Options) *auth.JWT {
	t.Helper()
	j, err := auth.NewJWT(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// judge returns who a token is of, or the text of why it was refused.
func judge(a gateway.Authenticator, token string) (gateway.Principal, string) {
	who, err := a.Judge(&gateway.Handshake{Room: "chat.x", Token: token})
	denied := new(gateway.AuthError)
	switch {
	case errors.As(err, &denied):
		return who, denied.Text
	case err != nil:
		return who, err.Error()
	}
	return who, ""
}

// Tokens of every kind of key are good, with the key in PEM, in a certificate's place and in a JWK
// Set.
func TestTokensOfAllKindsOfKeys(t *testing.T) {
	k := keys()
	o := auth.Options{
		SecretFiles: []string{write(t, "secret", append(k.secret, "\r\n"...))},
		KeyFiles: []string{
			write(t, "some.pem", append(publicPEM(t, &k.rsa.PublicKey), publicPEM(t, k.p256.Public())...)),
			write(t, "set.json", jwks(jwk(k.p384.Public(), object{"kid": "a", "alg": "ES384", "use": "sig"}), jwk(k.ed.Public(), object{"kid": "b"}))),
		},
	}
	j := newJWT(t, o)
	for _, s := range []signer{hs256(k.secret), rs256(k.rsa), ps256(k.rsa), es("ES256", crypto.SHA256, k.p256)} {
		who, refused := judge(j, mint(s, may(), nil))
		want := gateway.Principal{
			Kind: gateway.KindToken, Subject: "ann", Expires: who.Expires,
			Grants: []gateway.Grant{{Rooms: []string{"chat.*"}, May: gateway.Read | gateway.Publish}},
		}
		if refused != "" || !reflect.DeepEqual(who, want) || who.Expires < time.Now().Add(time.Hour).Unix() {
			t.Errorf("%s: %+v %s", s.alg, who, refused)
		}
	}
	for kid, s := range map[string]signer{"a": es("ES384", crypto.SHA384, k.p384), "b": eddsa(k.ed)} {
		if _, refused := judge(j, mint(s, may(), object{"kid": kid})); refused != "" {
			t.Errorf("%s: %s", s.alg, refused)
		}
		if _, refused := judge(j, mint(s, may(), nil)); refused != "" {
			t.Errorf("%s without a kid: %s", s.alg, refused)
		}
	}
}

// A06. What is refused, and why.
func TestA06_BadTokensAreRefused(t *testing.T) {
	k := keys()
	rsaPEM := publicPEM(t, &k.rsa.PublicKey)
	asymmetric := newJWT(t, auth.Options{KeyFiles: []string{
		write(t, "rsa.pem", rsaPEM),
		write(t, "set.json", jwks(jwk(k.p256.Public(), object{"kid": "a"}), jwk(&k.otherRSA.PublicKey, object{"kid": "only-ps", "alg": "PS256"}),
			jwk(k.ed.Public(), object{"kid": "encrypts", "use": "enc"}))),
	}})
	both := newJWT(t, auth.Options{SecretFiles: []string{write(t, "secret", k.secret)}, KeyFiles: []string{write(t, "rsa.pem", rsaPEM)}})
	named := newJWT(t, auth.Options{
		SecretFiles: []string{write(t, "secret", k.secret)}, Issuer: "https://issuer.example", Audience: "sluice", Leeway: 10 * time.Second,
	})
	good := object{"iss": "https://issuer.example", "aud": []string{"other", "sluice"}}
	now := time.Now().Unix()
	none := signer{"none", func([]byte) []byte { return nil }}
	for name, tc := range map[string]struct {
		by    *auth.JWT
		token string
		why   string // empty: it is good
	}{
		"not a token":                      {both, "T", "not a JWT"},
		"two parts":                        {both, "e30.e30", "not a JWT"},
		"empty parts":                      {both, "..", "not a JWT"},
		"alg none":                         {both, mint(none, may(), nil), "signature"},
		"alg None":                         {both, mint(signer{"None", none.sign}, may(), nil), "signed by no algorithm"},
		"no alg":                           {both, mint(signer{"", none.sign}, may(), nil), "signed by no algorithm"},
		"HS256 with the public key in PEM": {asymmetric, mint(hs256(rsaPEM), may(), nil), "no key here is for the algorithm"},
		"… where there is a secret, too":   {both, mint(hs256(rsaPEM), may(), nil), "signature"},
		"… without its last line end":      {both, mint(hs256([]byte(strings.TrimSpace(string(rsaPEM)))), may(), nil), "signature"},
		"another secret":                   {both, mint(hs256(k.otherSecret), may(), nil), "signature"},
		"another RSA key":                  {both, mint(rs256(k.otherRSA), may(), nil), "signature"},
		"a key for another algorithm":      {asymmetric, mint(rs256(k.otherRSA), may(), object{"kid": "only-ps"}), "signature"},
		"… for its own":                    {asymmetric, mint(ps256(k.otherRSA), may(), object{"kid": "only-ps"}), ""},
		"a key that is not for signatures": {asymmetric, mint(eddsa(k.ed), may(), object{"kid": "encrypts"}), "not known"},
		"ES256 by another curve":           {asymmetric, mint(es("ES256", crypto.SHA256, k.p384), may(), object{"kid": "a"}), "signature"},
		"ES384 by the curve of ES256":      {asymmetric, mint(es("ES384", crypto.SHA384, k.p256), may(), object{"kid": "a"}), "algorithm"},
		"kid that is a path":               {asymmetric, mint(hs256(nil), may(), object{"kid": "/dev/null"}), "not known"},
		"kid that is SQL":                  {both, mint(hs256([]byte("x")), may(), object{"kid": "' UNION SELECT 'x"}), "signature"},
		"kid that is no string":            {asymmetric, mint(hs256(nil), may(), object{"kid": 7}), "algorithm"},
		"a key in the header":              {asymmetric, mint(es("ES256", crypto.SHA256, k.p256), may(), object{"jwk": jwk(&k.rsa.PublicKey, nil), "jku": "http://127.0.0.1:1/"}), ""},
		"its own key in the header":        {both, mint(rs256(k.otherRSA), may(), object{"jwk": jwk(&k.otherRSA.PublicKey, nil)}), "signature"},
		"crit":                             {both, mint(hs256(k.secret), may(), object{"crit": []string{"x"}, "x": 1}), "understood"},
		"expired":                          {both, mint(hs256(k.secret), may(object{"exp": now - 60}), nil), "expired"},
		"expired, within the leeway":       {named, mint(hs256(k.secret), may(good, object{"exp": now - 5}), nil), ""},
		"exp 0":                            {both, mint(hs256(k.secret), may(object{"exp": 0}), nil), "expired"},
		"exp in the year 10^292":           {both, mint(hs256(k.secret), may(object{"exp": 1e300}), nil), "no time"},
		"exp as far as numbers go":         {both, mint(hs256(k.secret), may(object{"exp": int64(math.MaxInt64)}), nil), "no time"},
		"exp in milliseconds":              {both, mint(hs256(k.secret), may(object{"exp": now * 1000}), nil), ""},
		"nbf in the year 10^292":           {both, mint(hs256(k.secret), may(object{"nbf": 1e300}), nil), "no time"},
		"nbf of no time in Go":             {both, mint(hs256(k.secret), may(object{"nbf": time.Time{}.Unix()}), nil), ""},
		"exp that is no number":            {both, mint(hs256(k.secret), may(object{"exp": "tomorrow"}), nil), "not a JWT"},
		"no exp":                           {both, mint(hs256(k.secret), object{"caps": may()["caps"]}, nil), ""},
		"not yet":                          {both, mint(hs256(k.secret), may(object{"nbf": now + 60}), nil), "not valid yet"},
		"not yet, within the leeway":       {named, mint(hs256(k.secret), may(good, object{"nbf": now + 5}), nil), ""},
		"the issuer and audience":          {named, mint(hs256(k.secret), may(good), nil), ""},
		"another issuer":                   {named, mint(hs256(k.secret), may(good, object{"iss": "https://evil.example"}), nil), "another issuer"},
		"another audience":                 {named, mint(hs256(k.secret), may(good, object{"aud": "other"}), nil), "another audience"},
		"no issuer":                        {named, mint(hs256(k.secret), may(object{"aud": "sluice"}), nil), "iss"},
		"no audience":                      {named, mint(hs256(k.secret), may(object{"iss": "https://issuer.example"}), nil), "aud"},
		"caps that are no list":            {both, mint(hs256(k.secret), may(object{"caps": "all"}), nil), "not a JWT"},
		"signed, and changed":              {both, forge(mint(hs256(k.secret), may(), nil), may(object{"sub": "bob"})), "signature"},
		"a byte behind the signature":      {both, mint(hs256(k.secret), may(), nil) + "A", "signature"},
		"padding":                          {both, mint(hs256(k.secret), may(), nil) + "=", "not a JWT"},
		"claims are many":                  {both, mint(hs256(k.secret), may(object{"x": strings.Repeat("y", 30_000)}), nil), ""},
	} {
		_, why := judge(tc.by, tc.token)
		if (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
			t.Errorf("%s: %q, want %q", name, why, tc.why)
		}
		if len(tc.token) > 10 && strings.Contains(why, tc.token[:10]) {
			t.Errorf("%s: the answer repeats the token: %q", name, why)
		}
	}
}

// forge puts other claims into a token.
func forge(token string, claims object) string {
	parts := strings.Split(token, ".")
	parts[1] = strings.Split(mint(signer{"", func([]byte) []byte { return nil }}, claims, nil), ".")[1]
	return strings.Join(parts, ".")
}

// What claims come to: what no claim grants is denied, words that are none grant nothing, names of
// rooms are no patterns.
func TestClaimsBecomeGrants(t *testing.T) {
	k := keys()
	j := newJWT(t, auth.Options{SecretFiles: []string{write(t, "secret", k.secret)}})
	for name, tc := range map[string]struct {
		claims object
		want   []gateway.Grant
	}{
		"nothing":             {object{}, nil},
		"caps":                {object{"caps": []any{object{"rooms": []string{"a", "b.*"}, "may": []string{"read", "history", "presence", "publish"}}}}, []gateway.Grant{{Rooms: []string{"a", "b.*"}, May: 15}}},
		"no rooms":            {object{"caps": []any{object{"may": []string{"read"}}}}, nil},
		"no words":            {object{"caps": []any{object{"rooms": []string{"a"}}}}, nil},
		"unknown words":       {object{"caps": []any{object{"rooms": []string{"a"}, "may": []string{"read", "write", "READ", "*"}}}}, []gateway.Grant{{Rooms: []string{"a"}, May: gateway.Read}}},
		"channels":            {object{"channels": []string{"news", "chat:1", "a*", "[a]", "b?"}}, []gateway.Grant{{Rooms: []string{"chat:1", "news"}, May: gateway.Read}}},
		"subs":                {object{"subs": object{"news": object{"data": 1}}}, []gateway.Grant{{Rooms: []string{"news"}, May: gateway.Read}}},
		"claims of other use": {object{"permissions": []string{"admin"}, "scope": "read:all", "room": "news"}, nil},
	} {
		if who, refused := judge(j, mint(hs256(k.secret), tc.claims, nil)); refused != "" || !reflect.DeepEqual(who.Grants, tc.want) {
			t.Errorf("%s: %+v %s", name, who.Grants, refused)
		}
	}
	if who, refused := judge(j, ""); who.Kind != gateway.KindAnonymous || refused != "" {
		t.Errorf("without a token: %+v %s", who, refused)
	}
}

// Files that are no keys are refused in words that say what to do, and have nothing of the file in
// them.
func TestBadKeyFilesAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		testenv.LeaveOut(t, "no RSA key of 1024 bits can be made: %v", err)
	}
	for name, tc := range map[string]struct {
		secret, key []byte
		says        string
	}{
		"short secret":    {secret: []byte("hunter2\n"), says: "32"},
		"empty secret":    {secret: []byte("\n"), says: "32"},
		"no key":          {key: []byte("hunter2"), says: "neither a public key in PEM"},
		"private key":     {key: []byte("-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"), says: "private key"},
		"broken key":      {key: []byte("-----BEGIN PUBLIC KEY-----\naHVudGVyMg==\n-----END PUBLIC KEY-----\n"), says: "key"},
		"something else":  {key: []byte("-----BEGIN DH PARAMETERS-----\naHVudGVyMg==\n-----END DH PARAMETERS-----\n"), says: "DH PARAMETERS is no public key"},
		"small RSA key":   {key: publicPEM(t, &small.PublicKey), says: "1024 bits"},
		"broken JWK Set":  {key: []byte(`{"keys": "hunter2"}`), says: "no JWK Set"},
		"empty JWK Set":   {key: []byte(`{"keys": []}`), says: "no key of the JWK Set"},
		"nothing of both": {says: "no key to verify"},
	} {
		var o auth.Options
		if tc.secret != nil {
			o.SecretFiles = []string{write(t, "secret", tc.secret)}
		}
		if tc.key != nil {
			o.KeyFiles = []string{write(t, "key", tc.key)}
		}
		if _, err := auth.NewJWT(o); err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, address := range []string{"keys.json", "ftp://a/keys", "://", "http://"} {
		if _, err := auth.NewJWT(auth.Options{KeysURL: address}); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

// Reload takes all files or none.
func TestReloadTakesAllFilesOrNone(t *testing.T) {
	k := keys()
	secret, other := write(t, "secret", k.secret), write(t, "other", k.secret)
	j := newJWT(t, auth.Options{SecretFiles: []string{secret, other}})
	old, young := mint(hs256(k.secret), may(), nil), mint(hs256(k.otherSecret), may(), nil)
	expect := func(token string, isGood bool) {
		t.Helper()
		if _, refused := judge(j, token); (refused == "") != isGood {
			t.Errorf("refused: %q, want %v", refused, isGood)
		}
	}
	expect(young, false)
	rewrite(t, secret, k.otherSecret)
	rewrite(t, other, []byte("short"))
	if err := j.Reload(); err == nil {
		t.Error("a short secret is taken")
	}
	expect(old, true)
	expect(young, false)
	rewrite(t, other, k.otherSecret)
	if err := j.Reload(); err != nil {
		t.Error(err)
	}
	expect(old, false)
	expect(young, true)
}
