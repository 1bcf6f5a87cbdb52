package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// command runs the program with these arguments.
func command(stdin string, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// keyPair writes a private key and its public one in PEM.
func keyPair(t *testing.T, private crypto.Signer) (privateFile, publicFile string) {
	t.Helper()
	dir := t.TempDir()
	save := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	privateFile = save("private.pem", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(private.Public())
	return privateFile, save("public.pem", "PUBLIC KEY", der, err)
}

// What gateway token makes, gateway token --check finds good, with the key of every kind, and says
// what it grants.
func TestTokenIsMadeAndExplained(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPrivate, edPublic := keyPair(t, ed)
	ecPrivate, ecPublic := keyPair(t, p384)
	rsaPrivate, rsaPublic := keyPair(t, rsaKey)
	for alg, with := range map[string][2]string{
		"HS256": {"--hmac-file=" + secret, "--hmac-file=" + secret}, "EdDSA": {"--key-file=" + edPrivate, "--key-file=" + edPublic},
		"ES384": {"--key-file=" + ecPrivate, "--key-file=" + ecPublic}, "RS256": {"--key-file=" + rsaPrivate, "--key-file=" + rsaPublic},
	} {
		status, token, stderr := command("", "token", with[0], "--sub=ann", "--room=chat.*", "--room=news", "--may=read,publish", "--ttl=10m", "--kid=k", "--issuer=us", "--audience=them")
		if status != exitOK || stderr != "" || strings.Count(token, ".") != 2 {
			t.Fatalf("%s: %d %q %q", alg, status, token, stderr)
		}
		status, said, stderr := command(token, "token", "--check", with[1], "--issuer=us", "--audience=them")
		if status != exitOK || stderr != "" {
			t.Errorf("%s: %d %q %q", alg, status, said, stderr)
		}
		for _, want := range []string{`"alg":"` + alg + `"`, `"kid":"k"`, "subject   ann\n", "expires   ", ", in ", "grants    chat.* news: read,publish\n", "verdict   good\n"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: %q is missing in\n%s", alg, want, said)
			}
		}
		if signature := token[strings.LastIndex(token, ".")+1:]; strings.Contains(said, strings.TrimSpace(signature)) {
			t.Errorf("%s: the signature is said", alg)
		}
		for _, other := range [][]string{{"--hmac-file=" + secret, "--issuer=you"}, {with[1], "--audience=you"}, {"--key-file=" + edPublic, "--issuer=you"}} {
			if status, said, _ := command(strings.TrimSpace(token), append([]string{"token", "--check"}, other...)...); status != exitFailed || !strings.Contains(said, "verdict   refused: ") {
				t.Errorf("%s, %v: %d\n%s", alg, other, status, said)
			}
		}
		status, said, _ = command("", "token", "--check", strings.TrimSpace(token))
		if status != exitOK || !strings.Contains(said, "signature is not checked") {
			t.Errorf("%s: %d\n%s", alg, status, said)
		}
	}
	if status, said, _ := command("", "token", "--check", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjEsImNhcHMiOlt7InJvb21zIjpbImEvYiJdLCJtYXkiOlsid3JpdGUiXX1dfQ.c2ln"); status != exitFailed ||
		!strings.Contains(said, "ago\n") || !strings.Contains(said, "grants    nothing") || !strings.Contains(said, `"write" is nothing`) ||
		!strings.Contains(said, "/ stands for nothing") || !strings.Contains(said, "refused: it has expired") {
		t.Errorf("an old one: %d\n%s", status, said)
	}
	for _, bad := range []string{"x", "a.b.c", "..", "e30.e30.e30", "eyJhbGciOiJub25lIn0.W10."} {
		if status, said, stderr := command(bad, "token", "--check"); status != exitFailed || !strings.Contains(said, "verdict   refused: ") || stderr != "" {
			t.Errorf("%q: %d %q %q", bad, status, said, stderr)
		}
	}
}

func TestTokenRefusesWhatMakesNoSense(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, public := keyPair(t, ed)
	for says, args := range map[string][]string{
		"give one of them":           {"--room=a"},
		"or by --key-file":           {"--room=a", "--hmac-file=" + secret, "--key-file=" + private},
		"would grant nothing":        {"--hmac-file=" + secret},
		"must be a second":           {"--room=a", "--hmac-file=" + secret, "--ttl=0s"},
		"it is read, publish":        {"--room=a", "--hmac-file=" + secret, "--may=write"},
		"/ stands for nothing":       {"--room=/ws/a", "--hmac-file=" + secret},
		"no private key that signs":  {"--room=a", "--key-file=" + public},
		"no private key in PEM":      {"--room=a", "--key-file=" + secret},
		"no such file":               {"--room=a", "--key-file=" + secret + ".pem"},
		"there is no token":          {"--check"},
		"argument of --check":        {"--room=a", "--hmac-file=" + secret, "x"},
		"this is a private key":      {"--check", "--key-file=" + private, "x"},
		"neither a public key in":    {"--check", "--key-file=" + secret, "x"},
		"a secret needs 32 at least": {"--check", "--hmac-file=/dev/null", "x"},
	} {
		status, stdout, stderr := command("", append([]string{"token"}, args...)...)
		if status != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "gateway token: ") || !strings.Contains(stderr, says) {
			t.Errorf("%v: %d %q %q, want %q", args, status, stdout, stderr, says)
		}
	}
}

// Keys and services that nobody would ask are slips, and so is half of what is needed: a gateway
// that was meant to be closed must not be open.
func TestAuthFlagsThatMakeNoSense(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"nothing is verified without --auth=jwt": {"--auth-hmac-file=" + secret},
		"by which tokens are verified":           {"--auth=jwt"},
		"one of them says who":                   {"--auth=jwt", "--auth-hmac-file=" + secret, "--auth-url=http://127.0.0.1/"},
		"are for --auth=jwt":                     {"--auth-key-file=" + secret, "--auth-url=http://127.0.0.1/"},
		"no token is looked at":                  {"--auth-audience=us"},
		"--auth-issuer and --auth-audience":      {"--auth-url=http://127.0.0.1/", "--auth-issuer=us"},
		"nobody looks at it":                     {"--auth-cookie=session"},
		"--auth-leeway":                          {"--auth=jwt", "--auth-hmac-file=" + secret, "--auth-leeway=-1s"},
		"--auth-leeway -1s: must not be":         {"--auth-url=http://127.0.0.1/", "--auth-leeway=-1s"},
		"--auth-timeout":                         {"--auth-url=http://127.0.0.1/", "--auth-timeout=0s"},
		"no header that can be passed on":        {"--auth-url=http://127.0.0.1/", "--auth-header=Host"},
		"is about --auth-url, and there is none": {"--auth-down=anonymous"},
		"may do nothing without --anonymous":     {"--auth-url=http://127.0.0.1/", "--auth-down=anonymous"},
		"--auth-requests 0: must be at least 1":  {"--auth-url=http://127.0.0.1/", "--auth-requests=0"},
		"--auth-cookie: ":                        {"--auth=jwt", "--auth-hmac-file=" + secret, "--auth-cookie=a=b"},
		`--allow-origin: "*" with cookies`:       {"--auth=jwt", "--auth-hmac-file=" + secret, "--auth-cookie=a", "--allow-origin=*"},
		`--allow-origin: "null" with cookies`:    {"--auth-url=http://127.0.0.1/", "--allow-origin=null"},
		"no such file":                           {"--auth=jwt", "--auth-key-file=" + secret + ".pem"},
		"it is no address":                       {"--auth=jwt", "--auth-jwks-url=keys.json"},
		"--anonymous: ":                          {"--anonymous=a=write"},
	} {
		if status, _, stderr := command("", append([]string{"--listen=127.0.0.1:0"}, args...)...); status != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%v: %d %q, want %q", args, status, stderr, says)
		}
	}
	for _, args := range [][]string{
		{"--auth-url=http://127.0.0.1/", "--allow-origin=*", "--auth-header=Authorization"},
		{"--auth=jwt", "--auth-hmac-file=" + secret, "--allow-origin=*"},
	} {
		if err := parse(t, args...).check(); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
