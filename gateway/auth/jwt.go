package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway"
)

// Options of a JWT. One key at least has to come from somewhere.
type Options struct {
	SecretFiles []string // of HMACs
	KeyFiles    []string // public keys in PEM, or JWK Sets
	KeysURL     string   // of a JWK Set, which is fetched in the background

	Issuer   string        // what iss has to be; empty: anything
	Audience string        // what aud has to have; empty: anything
	Leeway   time.Duration // how far clocks may be apart: 10 s; negative: not at all

	KeysFailed func(error)      // hears why KeysURL could not be fetched; nil: nobody does
	Now        func() time.Time // nil: time.Now
}

// A JWT tells who somebody is by a signed token.
type JWT struct {
	options Options
	parser  *jwt.Parser
	files   atomic.Pointer[[]key]
	remote  *remoteKeys // nil: none
}

const leewayDefault = 10 * time.Second

// leewayOf is what an option says of the leeway.
func leewayOf(option time.Duration) time.Duration {
	if option == 0 {
		return leewayDefault
	}
	return max(0, option)
}

// NewJWT reads the keys that are in files. Those of a URL are for Fetch.
func NewJWT(o Options) (*JWT, error) {
	o.Leeway = leewayOf(o.Leeway)
	rules := []jwt.ParserOption{jwt.WithValidMethods(algorithms), jwt.WithLeeway(o.Leeway)}
	if o.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		rules = append(rules, jwt.WithAudience(o.Audience))
	}
	if o.Now != nil {
		rules = append(rules, jwt.WithTimeFunc(o.Now))
	}
	j := &JWT{options: o, parser: jwt.NewParser(rules...)}
	if err := j.Reload(); err != nil {
		return nil, err
	}
	if len(*j.files.Load()) == 0 && o.KeysURL == "" {
		return nil, errors.New("there is no key to verify tokens with")
	}
	if o.KeysURL != "" {
		if err := checkURL(o.KeysURL); err != nil {
			return nil, err
		}
		j.remote = newRemoteKeys(o.KeysURL, o.KeysFailed)
	}
	return j, nil
}

// Fetch begins to fetch the keys of a URL, if there is one, and goes on until ctx ends. It returns
// after the first attempt, which takes some seconds at most; until one succeeds, who comes with a
// token is asked to come again.
func (j *JWT) Fetch(ctx context.Context) error {
	if j.remote == nil {
		return nil
	}
	return j.remote.fetch(ctx)
}

// Reload reads the files anew: all of them, or where one fails none.
func (j *JWT) Reload() error {
	var all []key
	for _, file := range j.options.SecretFiles {
		k, err := readSecret(file)
		if err != nil {
			return err
		}
		all = append(all, k)
	}
	for _, file := range j.options.KeyFiles {
		keys, err := readKeys(file)
		if err != nil {
			return err
		}
		all = append(all, keys...)
	}
	j.files.Store(&all)
	return nil
}

// Headers implements gateway.Authenticator: none.
func (j *JWT) Headers() []string { return nil }

// Judge implements gateway.Authenticator. It asks where a token names a key that a URL may have by
// now.
func (j *JWT) Judge(h *gateway.Handshake) (gateway.Principal, error) {
	if h.Token == "" {
		return gateway.Principal{}, nil
	}
	claims, err := j.Verify(h.Token)
	if err != nil {
		if j.mayGetKey(h.Token, err) {
			return gateway.Principal{}, gateway.ErrAsk
		}
		return gateway.Principal{}, denial(err)
	}
	return claims.principal(int64(j.options.Leeway / time.Second)), nil
}

// mayGetKey reports whether a token that was refused may be by a key of the URL that is not here
// yet: it names one that nobody has. Keys without an id, which may be any, were tried and it is by
// none.
func (j *JWT) mayGetKey(token string, refused error) bool {
	switch {
	case j.remote == nil:
		return false
	case errors.Is(refused, jwt.ErrTokenSignatureInvalid):
		id := keyOf(token)
		return id != "" && !slices.ContainsFunc(j.keys(), func(k key) bool { return k.id == id })
	}
	return errors.Is(refused, errNoKey)
}

// Ask implements gateway.Authenticator: it fetches the keys of the URL, now and then, and judges
// again. Whose key may have been added since they were fetched last is not refused but asked to
// come again: clients of the Centrifuge protocol never come back with a token that is no good.
func (j *JWT) Ask(_ context.Context, h *gateway.Handshake) (gateway.Principal, error) {
	if !j.remote.refresh(keyOf(h.Token)) {
		return gateway.Principal{}, &gateway.AuthError{
			Status: http.StatusServiceUnavailable, Text: "By which key the token is signed is not known here, and keys cannot be fetched at the moment.",
		}
	}
	claims, err := j.Verify(h.Token)
	if err != nil {
		return gateway.Principal{}, denial(err)
	}
	return claims.principal(int64(j.options.Leeway / time.Second)), nil
}

// Verify returns the claims of a token that is good.
func (j *JWT) Verify(token string) (*Claims, error) {
	claims := new(Claims)
	if _, err := j.parser.ParseWithClaims(token, claims, j.choose); err != nil {
		return nil, err
	}
	return claims, nil
}

var (
	errNoKey     = errors.New("it names a key that is not known here")
	errAlgorithm = errors.New("no key here is for the algorithm that it is signed by")
	errCritical  = errors.New("its header says that something has to be understood which is not")
	errManyKeys  = fmt.Errorf("it may be by any of more than %d keys, and has to name one (kid)", triesMax)
)

// triesMax is how many keys a token is tried with that does not name one, or if those have no ids:
// anybody may bring such a token, and a signature takes 30 µs.
const triesMax = 32

// choose finds the keys that a token may be signed by: of the id that it names, among those that
// have ids, and for its algorithm.
func (j *JWT) choose(t *jwt.Token) (any, error) {
	if _, has := t.Header["crit"]; has { // RFC 7515 §4.1.11
		return nil, errCritical
	}
	keys := j.keys()
	id, _ := t.Header["kid"].(string)
	var set jwt.VerificationKeySet
	isKnown := false
	for _, k := range keys {
		if id != "" && k.id != "" && k.id != id {
			continue
		}
		isKnown = isKnown || id == "" || k.id == id
		if slices.Contains(k.algorithms, t.Method.Alg()) {
			set.Keys = append(set.Keys, k.value)
		}
	}
	switch {
	case len(set.Keys) > triesMax:
		return nil, errManyKeys
	case len(set.Keys) > 0:
		return set, nil
	case !isKnown || len(keys) == 0:
		return nil, errNoKey
	}
	return nil, errAlgorithm
}

// keys are those of the files and those that were fetched last.
func (j *JWT) keys() []key {
	files := *j.files.Load()
	switch {
	case j.remote == nil:
		return files
	case len(files) == 0:
		return j.remote.keys()
	}
	return slices.Concat(files, j.remote.keys())
}

// denial says why a token was refused, in words that have nothing of it.
func denial(err error) error {
	return &gateway.AuthError{
		Status: http.StatusUnauthorized, Text: "The token was refused: " + Why(err) + ".",
		IsExpired: errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, errTime),
	}
}

// Why says in a few words why Verify refused a token.
func Why(err error) string {
	for _, one := range []struct {
		err  error
		text string
	}{
		{errNoKey, errNoKey.Error()},
		{errAlgorithm, errAlgorithm.Error()},
		{errCritical, errCritical.Error()},
		{errManyKeys, errManyKeys.Error()},
		{errInfo, errInfo.Error()},
		{errChannel, errChannel.Error()},
		{errTime, errTime.Error()},
		{jwt.ErrTokenMalformed, "it is not a JWT, or its claims are not of the kinds that they should be"},
		{jwt.ErrTokenUnverifiable, "it is signed by no algorithm that is known here"},
		{jwt.ErrTokenSignatureInvalid, "its signature is not by a key that is known here"},
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenRequiredClaimMissing, "it lacks iss or aud"},
	} {
		if errors.Is(err, one.err) {
			return one.text
		}
	}
	return "it is not valid"
}

// keyOf is the id of the key that a token names, which may be anything: it was not verified.
func keyOf(token string) string {
	t, _, err := jwt.NewParser().ParseUnverified(token, new(Claims))
	if err != nil {
		return ""
	}
	id, _ := t.Header["kid"].(string)
	return id
}

var _ gateway.Authenticator = (*JWT)(nil)
