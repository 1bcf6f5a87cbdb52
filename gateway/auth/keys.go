package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/MicahParks/jwkset"
)

// A key verifies tokens that are signed by one of its algorithms, and no others: a token does not
// choose how it is judged.
type key struct {
	value      any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	id         string
	algorithms []string
}

// algorithms are all that any key is for.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

const (
	hmacBytesMin = 32 // what HS256 needs (RFC 7518 §3.2)
	rsaBitsMin   = 2048
)

// newKey says what a key is for; an error if for nothing.
func newKey(value any, id string) (key, error) {
	k := key{value: value, id: id}
	switch v := value.(type) {
	case []byte:
		if len(v) < hmacBytesMin {
			return key{}, fmt.Errorf("it has %d bytes, and a secret needs %d at least: openssl rand -hex 32 makes one", len(v), hmacBytesMin)
		}
		k.algorithms = []string{"HS256", "HS384", "HS512"}
	case *rsa.PublicKey:
		if v.N.BitLen() < rsaBitsMin {
			return key{}, fmt.Errorf("it is an RSA key of %d bits, and needs %d at least", v.N.BitLen(), rsaBitsMin)
		}
		k.algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		name := map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[v.Curve.Params().BitSize]
		if name == "" {
			return key{}, fmt.Errorf("no algorithm is for its curve, %s", v.Curve.Params().Name)
		}
		k.algorithms = []string{name}
	case ed25519.PublicKey:
		k.algorithms = []string{"EdDSA"}
	default:
		return key{}, fmt.Errorf("a %T is no key that verifies signatures", value)
	}
	return k, nil
}

// readSecret reads the secret of an HMAC. Line ends behind it are not of it: editors put them
// there.
func readSecret(file string) (key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return key{}, err
	}
	k, err := newKey(bytes.TrimRight(text, "\r\n"), "")
	if err != nil {
		return key{}, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// readKeys reads public keys: one or several in PEM, which certificates may hold, or a JWK Set.
func readKeys(file string) ([]key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parse := parsePEM
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte{'{'}) {
		parse = parseJWKS
	}
	keys, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

func parsePEM(text []byte) (keys []key, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		value, err := publicKey(block)
		if err != nil {
			return nil, err
		}
		k, err := newKey(value, "")
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is neither a public key in PEM in it nor a JWK Set")
	}
	return keys, nil
}

func publicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("this is a private key: give its public one (openssl pkey -in private.pem -pubout) and keep this one where tokens are made")
	}
	return nil, fmt.Errorf("a %s is no public key", block.Type)
}

// setMax bounds a JWK Set that is fetched, in bytes.
const setMax = 1 << 20

var errNoneVerifies = errors.New("no key of the JWK Set verifies signatures")

func parseJWKS(text []byte) ([]key, error) {
	keys, err := parseSet(text, true)
	if err == nil && len(keys) == 0 {
		err = errNoneVerifies
	}
	return keys, err
}

// parseSet reads a JWK Set. What is no key that verifies signatures here is left out: one of
// another kind or use, or that is not whole (RFC 7517 §5). A set that strangers can read may have
// no secrets.
func parseSet(text []byte, mayHaveSecrets bool) (keys []key, err error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &set) != nil || set.Keys == nil {
		return nil, errors.New("it is no JWK Set that can be read") // The error may tell what is in it.
	}
	for _, one := range *set.Keys {
		jwk, err := jwkset.NewJWKFromRawJSON(one, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		if k, ok := keyOfSet(jwk, mayHaveSecrets); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// keyOfSet is what a key of a JWK Set is here, if it is one that verifies signatures.
func keyOfSet(jwk jwkset.JWK, mayHaveSecrets bool) (k key, ok bool) {
	m, value := jwk.Marshal(), jwk.Key()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return k, false
	}
	if private, ok := value.(interface{ Public() crypto.PublicKey }); ok {
		value = private.Public()
	}
	if _, isSecret := value.([]byte); isSecret && !mayHaveSecrets {
		return k, false
	}
	k, err := newKey(value, m.KID)
	if err != nil {
		return k, false
	}
	if alg := m.ALG.String(); alg != "" {
		if !slices.Contains(k.algorithms, alg) {
			return k, false
		}
		k.algorithms = []string{alg}
	}
	return k, true
}
