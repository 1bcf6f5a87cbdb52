package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"sluice/gateway"
	"sluice/gateway/auth"
)

// AuthFlags say how clients prove who they are.
type AuthFlags struct {
	Auth         string        `help:"How clients prove who they are: none, or jwt, by a token that one of the keys below verifies. What a token does not grant is denied. See --auth-url for asking a service instead." enum:"none,jwt" default:"none" placeholder:"none|jwt" group:"Who may do what"`
	AuthHMACFile []string      `name:"auth-hmac-file" help:"A file with a secret of 32 bytes at least, by which tokens are signed with HS256, HS384 or HS512. Repeatable." placeholder:"FILE" group:"Who may do what"`
	AuthKeyFile  []string      `help:"A file with public keys in PEM, or a JWK Set, by which tokens are verified: RSA, ECDSA, Ed25519, each for its own algorithms. Repeatable." placeholder:"FILE" group:"Who may do what"`
	AuthJWKSURL  string        `name:"auth-jwks-url" help:"Where a JWK Set is fetched from, every hour and for keys that are not known yet." placeholder:"URL" group:"Who may do what" secret:""`
	AuthIssuer   string        `help:"What a token's iss has to be." placeholder:"TEXT" group:"Who may do what"`
	AuthAudience string        `help:"What a token's aud has to have." placeholder:"TEXT" group:"Who may do what"`
	AuthLeeway   time.Duration `help:"How far clocks may be apart when exp and nbf are judged." default:"10s" group:"Who may do what"`
	AuthCookie   string        `help:"A cookie in which pages may have their token, besides Authorization: Bearer, ?token= and the subprotocol bearer. It counts only of pages that may connect." placeholder:"NAME" group:"Who may do what"`

	AuthURL      string        `name:"auth-url" help:"A service that is asked about each client instead: POST {\"room\", \"address\"} with the client's headers; it answers with claims." placeholder:"URL" group:"Who may do what" secret:""`
	AuthHeader   []string      `help:"A client's header that is passed on to --auth-url; Cookie only of pages that may connect. Repeatable." default:"Authorization,Cookie" placeholder:"NAME" group:"Who may do what"`
	AuthTimeout  time.Duration `help:"How long --auth-url may take to answer." default:"5s" group:"Who may do what"`
	AuthRequests int           `help:"Requests to --auth-url that may be under way at a time; other clients wait in line." default:"64" placeholder:"N" group:"Who may do what"`
	AuthDown     string        `help:"Who gets in while --auth-url does not answer: deny, nobody (503), or anonymous, everybody as anonymous." enum:"deny,anonymous" default:"deny" placeholder:"deny|anonymous" group:"Who may do what"`
}

// An authenticator is what flags ask for. start begins what it does by itself until ctx ends, and
// reread reads files anew; nil: nothing.
type authenticator struct {
	gateway.Authenticator
	start  func(ctx context.Context) error
	reread func() error
}

// begin starts it, if there is one.
func (a *authenticator) begin(ctx context.Context) error {
	if a == nil || a.start == nil {
		return nil
	}
	return a.start(ctx)
}

// reload makes it go by what is in its files now.
func (a *authenticator) reload() error {
	if a == nil || a.reread == nil {
		return nil
	}
	return a.reread()
}

// authenticator makes what the flags ask for: nil for nobody. log hears of what fails later; nil:
// nobody does.
func (c *AuthFlags) authenticator(log *slog.Logger) (*authenticator, error) {
	hasKeys := len(c.AuthHMACFile)+len(c.AuthKeyFile) > 0 || c.AuthJWKSURL != ""
	wantsClaims := c.AuthIssuer != "" || c.AuthAudience != ""
	failed := func(what string) func(error) {
		once, skipped := &rate.Sometimes{First: 1, Interval: time.Second}, new(atomic.Int64) // It may be one for each client.
		return func(err error) {
			if log == nil {
				return
			}
			skipped.Add(1)
			once.Do(func() { log.Error(what, "error", err, "and_more", skipped.Swap(0)-1) })
		}
	}
	switch {
	case c.Auth == "jwt" && c.AuthURL != "":
		return nil, errors.New("--auth=jwt, --auth-url: one of them says who a client is, not both")
	case c.AuthURL != "":
		if hasKeys || wantsClaims {
			return nil, errors.New("--auth-url: keys that verify tokens, --auth-issuer and --auth-audience are for --auth=jwt")
		}
		return c.service(failed("cannot ask who clients are"))
	case c.Auth == "jwt":
		if !hasKeys {
			return nil, errors.New("--auth=jwt: give --auth-hmac-file, --auth-key-file or --auth-jwks-url, by which tokens are verified")
		}
		return c.jwt(failed("cannot fetch the keys that verify tokens"))
	case hasKeys:
		return nil, errors.New("--auth-hmac-file, --auth-key-file, --auth-jwks-url: nothing is verified without --auth=jwt")
	case wantsClaims:
		return nil, errors.New("--auth-issuer, --auth-audience: no token is looked at without --auth=jwt")
	case c.AuthCookie != "":
		return nil, errors.New("--auth-cookie: nobody looks at it without --auth=jwt or --auth-url")
	}
	return nil, nil
}

// leeway is --auth-leeway as package auth has it, for which zero is the default.
func (c *AuthFlags) leeway() (time.Duration, error) {
	switch {
	case c.AuthLeeway < 0:
		return 0, fmt.Errorf("--auth-leeway %v: must not be negative", c.AuthLeeway)
	case c.AuthLeeway == 0:
		return -1, nil
	}
	return c.AuthLeeway, nil
}

func (c *AuthFlags) jwt(failed func(error)) (*authenticator, error) {
	leeway, err := c.leeway()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(c.AuthHMACFile, c.AuthKeyFile) {
		if isPipe(name) { // Whoever reads it a second time would wait for ever.
			return nil, fmt.Errorf("--auth=jwt: %s: it is a pipe, and keys are read more than once: put them into a file", name)
		}
	}
	j, err := auth.NewJWT(auth.Options{
		SecretFiles: c.AuthHMACFile, KeyFiles: c.AuthKeyFile, KeysURL: c.AuthJWKSURL,
		Issuer: c.AuthIssuer, Audience: c.AuthAudience, Leeway: leeway, KeysFailed: failed,
	})
	if err != nil {
		return nil, fmt.Errorf("--auth=jwt: %w", err)
	}
	return &authenticator{j, j.Fetch, j.Reload}, nil
}

func (c *AuthFlags) service(failed func(error)) (*authenticator, error) {
	if c.AuthTimeout < time.Millisecond {
		return nil, fmt.Errorf("--auth-timeout %v: must be 1ms at least", c.AuthTimeout)
	}
	leeway, err := c.leeway()
	if err != nil {
		return nil, err
	}
	s, err := auth.NewService(auth.ServiceOptions{
		URL: c.AuthURL, Headers: c.AuthHeader, Timeout: c.AuthTimeout, Anonymous: c.AuthDown == "anonymous", Leeway: leeway, Failed: failed,
	})
	if err != nil {
		return nil, fmt.Errorf("--auth-url: %w", err)
	}
	return &authenticator{s, nil, nil}, nil
}
