package wstest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
)

// An Authority signs certificates for one test.
type Authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string // its certificate, in PEM
	Pool *x509.CertPool
}

// NewAuthority makes one.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir(), Pool: x509.NewCertPool()}
	template := a.template("authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert, a.key = template, newKey(t)
	der := a.sign(template, &a.key.PublicKey)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Pool.AddCert(a.cert)
	a.File = filepath.Join(a.dir, "ca.pem")
	write(t, a.File, "CERTIFICATE", der)
	return a
}

// Certificate is the authority's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *Authority) template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func (a *Authority) sign(c *x509.Certificate, key *ecdsa.PublicKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// Pair writes a certificate for these names, and its key, to files of its own. Those of before that
// are named by into are replaced, at once as far as a file's reader can see.
func (a *Authority) Pair(into [2]string, names ...string) (files [2]string) {
	a.t.Helper()
	key, template := newKey(a.t), a.template(names[0])
	template.DNSNames = names
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der := a.sign(template, &key.PublicKey)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	if files = into; files[0] == "" {
		dir := a.t.TempDir()
		files = [2]string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	}
	write(a.t, files[0], "CERTIFICATE", der)
	write(a.t, files[1], "PRIVATE KEY", secret)
	return files
}

func write(t testing.TB, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// Client is how a client of the name trusts the authority.
func (a *Authority) Client(name string) *tls.Config {
	return &tls.Config{RootCAs: a.Pool, ServerName: name}
}

// DialTLS opens a WebSocket over TLS with an independent client.
func DialTLS(t testing.TB, cfg *tls.Config, addr, path string) *websocket.Conn {
	t.Helper()
	c, err := TryDialTLS(t, cfg, addr, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TryDialTLS is DialTLS for one that may be refused.
func TryDialTLS(t testing.TB, cfg *tls.Config, addr, path string, head http.Header) (*websocket.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
	c, _, err := websocket.Dial(ctx, "wss://"+addr+path, &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: head, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { c.CloseNow() })
	return c, nil
}
