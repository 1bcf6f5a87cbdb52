package clustertest

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"sluice/hub/cluster/natsbroker"
	"sluice/internal/natstest"
	"sluice/internal/wstest"
)

// Servers that speak TLS and know their clients by certificates.
func TestBrokerIsReachedOverTLS(t *testing.T) {
	t.Parallel()
	authority := wstest.NewAuthority(t)
	pair := func(name string) tls.Certificate {
		files := authority.Pair([2]string{}, name)
		c, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	s := natstest.Start(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 10
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{pair("broker.test")}, ClientCAs: authority.Pool, ClientAuth: tls.RequireAndVerifyClientCert,
		}
	})
	o := withStream(s.ClientURL())
	o.TLS = authority.Client("broker.test")
	if found := natsbroker.Check(soon(t), o); len(found) == 0 {
		t.Error("let in without a certificate")
	}
	o.TLS.Certificates = []tls.Certificate{pair("gateway")}
	mustPublish(t, dial(t, o), "room", "id", "x")
	o.TLS = authority.Client("other.test")
	if found := natsbroker.Check(soon(t), o); len(found) == 0 {
		t.Error("a server of another name is trusted")
	}
}

// A server that refuses a gateway is a fault of its configuration; one that is not there is none.
func TestRefusalIsToldFromAbsence(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(o *server.Options) { o.Username, o.Password = "gateway", "right" })
	o := withStream("nats://gateway:wrong@" + s.Addr().String())
	if found := natsbroker.Check(soon(t), o); len(found) != 1 || errors.Is(found[0], natsbroker.ErrUnreached) {
		t.Errorf("a wrong password: %v", found)
	}
	natstest.End(s)
	if found := natsbroker.Check(soon(t), o); len(found) != 1 || !errors.Is(found[0], natsbroker.ErrUnreached) {
		t.Errorf("no server: %v", found)
	}
}

// credentialsOf makes a user of an account of an operator, and a server that knows the operator
// alone.
func credentialsOf(t *testing.T) (file string, change func(*server.Options)) {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	keyOf := func(kind nkeys.PrefixByte) (nkeys.KeyPair, string) {
		key, err := nkeys.CreatePair(kind)
		fatal(err)
		name, err := key.PublicKey()
		fatal(err)
		return key, name
	}
	operator, operatorName := keyOf(nkeys.PrefixByteOperator)
	account, accountName := keyOf(nkeys.PrefixByteAccount)
	_, systemName := keyOf(nkeys.PrefixByteAccount) // JetStream wants one.
	user, userName := keyOf(nkeys.PrefixByteUser)
	claims := jwt.NewAccountClaims(accountName)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	accountToken, err := claims.Encode(operator)
	fatal(err)
	systemToken, err := jwt.NewAccountClaims(systemName).Encode(operator)
	fatal(err)
	userToken, err := jwt.NewUserClaims(userName).Encode(account)
	fatal(err)
	seed, err := user.Seed()
	fatal(err)
	text, err := jwt.FormatUserConfig(userToken, seed)
	fatal(err)
	file = filepath.Join(t.TempDir(), "gateway.creds")
	fatal(os.WriteFile(file, text, 0o600))
	return file, func(o *server.Options) {
		o.TrustedKeys = []string{operatorName}
		known := &server.MemAccResolver{}
		fatal(known.Store(accountName, accountToken))
		fatal(known.Store(systemName, systemToken))
		o.AccountResolver, o.SystemAccount = known, systemName
	}
}

func TestBrokerIsGivenCredentials(t *testing.T) {
	t.Parallel()
	file, change := credentialsOf(t)
	s := natstest.Start(t, change)
	o := withStream(s.ClientURL())
	if found := natsbroker.Check(soon(t), o); len(found) == 0 {
		t.Error("let in without credentials")
	}
	o.Credentials = file
	mustPublish(t, dial(t, o), "room", "id", "x")
}
