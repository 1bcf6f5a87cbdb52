package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Tokens are made here from RFC 7515 and RFC 7518 alone, so that no library judges what it has made
// itself.

type object = map[string]any

func b64(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

// A signer signs what a token's first two parts come to.
type signer struct {
	alg  string
	sign func(input []byte) []byte
}

func hs256(secret []byte) signer {
	return signer{"HS256", func(p []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(p)
		return m.Sum(nil)
	}}
}

func rs256(k *rsa.PrivateKey) signer {
	return signer{"RS256", func(p []byte) []byte {
		sum := sha256.Sum256(p)
		sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	}}
}

func ps256(k *rsa.PrivateKey) signer {
	return signer{"PS256", func(p []byte) []byte {
		sum := sha256.Sum256(p)
		sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], nil)
		if err != nil {
			panic(err)
		}
		return sig
	}}
}

func es(alg string, hash crypto.Hash, k *ecdsa.PrivateKey) signer {
	return signer{alg, func(p []byte) []byte {
		h := hash.New()
		h.Write(p)
		r, s, err := ecdsa.Sign(rand.Reader, k, h.Sum(nil))
		if err != nil {
			panic(err)
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}}
}

func eddsa(k ed25519.PrivateKey) signer {
	return signer{"EdDSA", func(p []byte) []byte { return ed25519.Sign(k, p) }}
}

// mint makes a token. head is added to its header.
func mint(s signer, claims, head object) string {
	h := object{"typ": "JWT", "alg": s.alg}
	maps.Copy(h, head)
	header, _ := json.Marshal(h)
	body, _ := json.Marshal(claims)
	input := b64(header) + "." + b64(body)
	return input + "." + b64(s.sign([]byte(input)))
}

// may are claims of somebody who may read and publish in chat.*, for an hour.
func may(more ...object) object {
	c := object{
		"sub": "ann", "exp": time.Now().Add(time.Hour).Unix(),
		"caps": []any{object{"rooms": []string{"chat.*"}, "may": []string{"read", "publish"}}},
	}
	for _, m := range more {
		maps.Copy(c, m)
	}
	return c
}

// Keys take long to make.
var keys = sync.OnceValue(func() (k struct {
	secret, otherSecret []byte
	rsa, otherRSA       *rsa.PrivateKey
	p256, p384          *ecdsa.PrivateKey
	ed                  ed25519.PrivateKey
},
) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	k.secret, k.otherSecret = []byte("0123456789abcdef0123456789abcdef"), []byte("another-secret-of-32-bytes-or-so")
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

// write puts a file where a test finds it.
func write(t *testing.T, name string, p []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func publicPEM(t *testing.T, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// jwk is a key of a JWK Set (RFC 7517, RFC 8037).
func jwk(public any, more object) object {
	k := object{}
	switch p := public.(type) {
	case *rsa.PublicKey:
		k = object{"kty": "RSA", "n": b64(p.N.Bytes()), "e": b64(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, x and y
		if err != nil {
			panic(err)
		}
		size := len(point) / 2
		k = object{"kty": "EC", "crv": p.Curve.Params().Name, "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])}
	case ed25519.PublicKey:
		k = object{"kty": "OKP", "crv": "Ed25519", "x": b64(p)}
	case []byte:
		k = object{"kty": "oct", "k": b64(p)}
	}
	maps.Copy(k, more)
	return k
}

func jwks(all ...object) []byte {
	text, _ := json.Marshal(object{"keys": all})
	return text
}

func rewrite(t *testing.T, file string, p []byte) {
	t.Helper()
	if err := os.WriteFile(file, p, 0o600); err != nil {
		t.Fatal(err)
	}
}
