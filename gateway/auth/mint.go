package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/golang-jwt/jwt/v5"
)

// A Signer makes tokens, for trying out and for tests: who issues them in earnest has a program of
// its own.
type Signer struct {
	method jwt.SigningMethod
	key    any
}

// SecretSigner signs by the secret in a file, HS256.
func SecretSigner(file string) (*Signer, error) {
	k, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	return &Signer{jwt.SigningMethodHS256, k.value}, nil
}

// KeySigner signs by the private key in a PEM file, and by what such a key is usually used with:
// RS256, ES256 and its like, or EdDSA.
func KeySigner(file string) (*Signer, error) {
	private, err := readPrivate(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	k, err := newKey(private.Public(), "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &Signer{jwt.GetSigningMethod(k.algorithms[0]), private}, nil
}

func readPrivate(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("there is no private key in PEM in it")
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a %s is no private key that signs", block.Type)
	}
	if err != nil {
		return nil, errors.New("the private key in it cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key in it does not sign")
	}
	return signer, nil
}

// Mint makes a token. id names the key; it may be empty.
func (s *Signer) Mint(c *Claims, id string) (string, error) {
	t := jwt.NewWithClaims(s.method, c)
	if id != "" {
		t.Header["kid"] = id
	}
	return t.SignedString(s.key)
}

// Unverified reads what a token says, whoever made it: its header, and its claims as they stand in
// it and as they are understood.
func Unverified(token string) (header map[string]any, text json.RawMessage, c *Claims, err error) {
	c = new(Claims)
	t, parts, err := jwt.NewParser().ParseUnverified(token, c)
	if err != nil && (t == nil || t.Header == nil || len(parts) != 3) {
		return nil, nil, nil, err
	}
	text, decodeErr := jwt.NewParser().DecodeSegment(parts[1])
	if decodeErr != nil {
		return t.Header, nil, nil, decodeErr
	}
	return t.Header, text, c, err
}
