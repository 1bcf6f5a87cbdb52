package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway"
	"sluice/gateway/auth"
)

// A tokenCommand makes a token for trying out, or explains one.
type tokenCommand struct {
	Check bool   `help:"Explain a token instead of making one: what it says, what it grants, and why it would be refused. Status 1 if it would." env:"-"`
	Token string `arg:"" optional:"" help:"With --check: the token. Without it, or as -, the first line of the standard input, where no list of processes shows it."`

	HmacFile string `name:"hmac-file" help:"The secret, as --auth-hmac-file has it." placeholder:"FILE" type:"path" env:"-"`
	KeyFile  string `help:"A private key in PEM, which signs; with --check a public one or a JWK Set will do, as --auth-key-file has it." placeholder:"FILE" type:"path" env:"-"`

	Sub      string        `help:"Who it is." placeholder:"NAME" env:"-"`
	Room     []string      `help:"Patterns of rooms in which it grants something; * stands for anything. Repeatable." placeholder:"PATTERN" env:"-"`
	May      []string      `help:"What it grants there: read, publish, presence, history." default:"read" placeholder:"WORD,…" env:"-"`
	TTL      time.Duration `name:"ttl" help:"How long it is good for." default:"1h" env:"-"`
	Kid      string        `help:"Name of the key, for gateways that have several." placeholder:"NAME" env:"-"`
	Issuer   string        `help:"Who issues it; with --check, who has to have." placeholder:"TEXT" env:"-"`
	Audience string        `help:"Whom it is for; with --check, for whom it has to be." placeholder:"TEXT" env:"-"`
}

// Help is kong's way to ask for more to say.
func (tokenCommand) Help() string {
	return `One that is good for an hour:

  openssl rand -hex 32 > secret
  gateway token --hmac-file secret --sub ann --room 'chat.*' --may read,publish

What it says, and what a gateway with --auth-hmac-file secret makes of it:

  gateway token --check --hmac-file secret < token

A service that asks for logins makes them with a library of its own: a JWT with the claim
"caps": [{"rooms": ["chat.*"], "may": ["read", "publish"]}].`
}

// Run makes a token or explains one.
func (c *tokenCommand) Run(p *program) error {
	if !c.Check {
		return c.mint(p.stdout)
	}
	return c.explain(p.stdin, p.stdout)
}

func (c *tokenCommand) mint(stdout io.Writer) error {
	switch {
	case c.Token != "":
		return usageError{errors.New("a token is an argument of --check")}
	case (c.HmacFile == "") == (c.KeyFile == ""):
		return usageError{errors.New("it is signed by --hmac-file or by --key-file: give one of them")}
	case len(c.Room) == 0:
		return usageError{errors.New("without --room it would grant nothing")}
	case c.TTL < time.Second:
		return usageError{fmt.Errorf("--ttl %v: must be a second at least", c.TTL)}
	}
	for _, room := range c.Room {
		if err := new(gateway.Grant).UnmarshalText([]byte(room + "=" + strings.Join(c.May, ","))); err != nil {
			return usageError{fmt.Errorf("--room %s --may %s: %w", room, strings.Join(c.May, ","), err)}
		}
	}
	signerOf, file := auth.SecretSigner, c.HmacFile
	if c.KeyFile != "" {
		signerOf, file = auth.KeySigner, c.KeyFile
	}
	signer, err := signerOf(file)
	if err != nil {
		return usageError{err}
	}
	now := time.Now()
	claims := &auth.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject: c.Sub, Issuer: c.Issuer, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(c.TTL)),
		},
		Caps: []auth.Cap{{Rooms: c.Room, May: c.May}},
	}
	if c.Audience != "" {
		claims.Audience = jwt.ClaimStrings{c.Audience}
	}
	token, err := signer.Mint(claims, c.Kid)
	if err == nil {
		_, err = fmt.Fprintln(stdout, token)
	}
	return err
}

// explain tells all that is in a token: whoever asks has it. The signature is left out. Its error
// is the exit status where the token would be refused.
func (c *tokenCommand) explain(stdin io.Reader, stdout io.Writer) error {
	token := c.Token
	if token == "" || token == "-" {
		line, err := bufio.NewReader(stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		token = line
	}
	token = strings.TrimPrefix(strings.TrimSpace(token), "Bearer ")
	if token == "" {
		return usageError{errors.New("there is no token")}
	}
	verifier, err := c.verifier()
	if err != nil {
		return usageError{err}
	}
	w := &explanation{w: stdout}
	header, text, claims, err := auth.Unverified(token)
	if header != nil {
		compact, _ := json.Marshal(header)
		w.say("header", string(compact))
	}
	if text != nil {
		w.say("claims", string(text))
	}
	if err == nil {
		w.tell(claims)
		if verifier != nil {
			_, err = verifier.Verify(token)
		} else {
			err = claims.Valid()
		}
	}
	switch {
	case err != nil:
		w.say("verdict", "refused: "+auth.Why(err))
	case verifier == nil:
		w.say("verdict", "its signature is not checked without --hmac-file or --key-file")
	default:
		w.say("verdict", "good")
	}
	if err != nil && w.err == nil {
		return exitStatus(exitFailed)
	}
	return w.err
}

// verifier is what a gateway with the same files would judge by; nil without any.
func (c *tokenCommand) verifier() (*auth.JWT, error) {
	o := auth.Options{Issuer: c.Issuer, Audience: c.Audience}
	if c.HmacFile != "" {
		o.SecretFiles = []string{c.HmacFile}
	}
	if c.KeyFile != "" {
		o.KeyFiles = []string{c.KeyFile}
	}
	if c.HmacFile == "" && c.KeyFile == "" {
		return nil, nil
	}
	return auth.NewJWT(o)
}

// An explanation is lines of a name and a text.
type explanation struct {
	w   io.Writer
	err error
}

func (e *explanation) say(name, text string) {
	if e.err == nil {
		_, e.err = fmt.Fprintf(e.w, "%-9s %s\n", name, printable(text))
	}
}

// tell tells what a gateway makes of claims.
func (e *explanation) tell(c *auth.Claims) {
	e.say("subject", c.Subject)
	now := time.Now()
	switch {
	case c.ExpiresAt == nil:
		e.say("expires", "never: it has no exp")
	case now.After(c.ExpiresAt.Time):
		e.say("expires", fmt.Sprintf("%s, %v ago", c.ExpiresAt.UTC().Format(time.RFC3339), now.Sub(c.ExpiresAt.Time).Round(time.Second)))
	default:
		e.say("expires", fmt.Sprintf("%s, in %v", c.ExpiresAt.UTC().Format(time.RFC3339), c.ExpiresAt.Sub(now).Round(time.Second)))
	}
	grants := c.Grants()
	for _, g := range grants {
		e.say("grants", strings.Join(g.Rooms, " ")+": "+g.May.String())
	}
	if len(grants) == 0 {
		e.say("grants", "nothing: it has no caps, channels or subs that grant something")
	}
	for _, one := range c.Caps {
		for _, word := range one.May {
			if _, err := gateway.ParsePermission(word); err != nil {
				e.say("note", err.Error())
			}
		}
		for _, room := range one.Rooms {
			if err := new(gateway.Grant).UnmarshalText([]byte(room + "=read")); err != nil {
				e.say("note", err.Error())
			}
		}
	}
}
