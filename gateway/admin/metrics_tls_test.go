package admin

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// T11. On /metrics TLS handshakes that succeed, that resume a session and that fail, each by its
// reason, are what clients of crypto/tls have seen of them; and what is under way at the moment is
// that.
func TestT11_MetricsTellWhatBecameOfHandshakes(t *testing.T) {
	authority := wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, "sluice.test")
	o := gatewaytest.Options()
	o.TLSPairs = []gateway.TLSPair{{Cert: files[0], Key: files[1]}}
	s, addr := gatewaytest.StartWith(t, o, gateway.ListenOptions{TLS: true})
	h := newMetrics(s, "v1", FigureOptions{})
	var all map[string]*dto.MetricFamily
	get := func(name, label string) float64 { return value(t, all, name, label) }
	expect := func(what string, holds func() bool) {
		t.Helper()
		testenv.Eventually(t, what, func() bool {
			all = families(t, scrape(t, h))
			return holds()
		})
	}

	expect("the certificate's end", func() bool { return get("sluice_tls_certificate_expires_seconds", "") == expiry(t, files[0]) })

	known := authority.Client("sluice.test")
	known.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, resumes := range []bool{false, true, true} {
		c := dialTLS(t, addr, known)
		if _, err := c.Write(wstest.UpgradeHead("/ws/r")); err != nil {
			t.Fatal(err)
		}
		if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", r, err)
		}
		if got := c.ConnectionState().DidResume; got != resumes {
			t.Fatalf("resumed: %t, want %t", got, resumes)
		}
		if resumes {
			c.NetConn().Close() // Without close_notify.
		} else {
			c.Close()
		}
	}
	expect("handshakes that succeeded", func() bool {
		return get("sluice_tls_handshakes_total", "") == 3 && get("sluice_tls_resumed_total", "") == 2 && get("sluice_tls_truncated_total", "") == 2
	})

	failures := map[string]float64{}
	for reason, turn := range map[string]func(*tls.Config){
		"version":     func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"server_name": func(c *tls.Config) { c.ServerName = "other.test" },
		"alpn":        func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"refused":     func(c *tls.Config) { c.RootCAs = wstest.NewAuthority(t).Pool },
	} {
		cfg := authority.Client("sluice.test")
		turn(cfg)
		c := dialTLS(t, addr, cfg)
		if err := c.Handshake(); err == nil {
			t.Errorf("%s: the handshake succeeds", reason)
		}
		c.Close()
		failures[reason] = 1
	}
	plain := wstest.Connect(t, addr)
	plain.Send(wstest.UpgradeHead("/ws/r"))
	if r, _ := plain.Response(); r.StatusCode != http.StatusBadRequest {
		t.Errorf("plain text: %s", r.Status)
	}
	failures["not_tls"] = 1
	silent := wstest.Connect(t, addr)
	silent.Send([]byte{22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}) // The beginning of a ClientHello.
	silent.Close()
	failures["gone"] = 1
	expect(fmt.Sprintf("failures %v", failures), func() bool {
		told := 0.0
		for _, m := range all["sluice_tls_failures_total"].GetMetric() {
			told += m.GetCounter().GetValue()
		}
		for reason, n := range failures {
			if get("sluice_tls_failures_total", reason) != n {
				return false
			}
		}
		return told == float64(len(failures)) && get("sluice_tls_handshakes_total", "") == 3
	})

	// A client that waits with its answer to ours is parked.
	waits := authority.Client("sluice.test")
	reached, goOn := make(chan struct{}), make(chan struct{})
	waits.VerifyConnection = func(tls.ConnectionState) error {
		close(reached)
		<-goOn
		return nil
	}
	c := dialTLS(t, addr, waits)
	done := make(chan error, 1)
	go func() { done <- c.Handshake() }()
	select {
	case <-reached:
	case <-time.After(testenv.Patience):
		t.Fatal("no answer came")
	}
	expect("one is parked", func() bool {
		return get("sluice_tls_handshaking", "parked") == 1 && get("sluice_tls_handshaking", "running") == 0
	})
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	expect("it has gone on", func() bool {
		return get("sluice_tls_handshaking", "parked") == 0 && get("sluice_tls_handshakes_total", "") == 4
	})
	c.Close()
	if text := scrape(t, h); strings.Contains(text, "other.test") {
		t.Errorf("a name that a client asked for stands in metrics:\n%s", text)
	}
}

// expiry is when the certificate in a file is over, in seconds since 1970.
func expiry(t *testing.T, file string) float64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return float64(c.NotAfter.Unix())
}

// dialTLS is a client of crypto/tls that has yet to say anything.
func dialTLS(t *testing.T, addr string, cfg *tls.Config) *tls.Conn {
	t.Helper()
	over, err := net.DialTimeout("tcp", addr, testenv.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { over.Close() })
	if err := over.SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
		t.Fatal(err)
	}
	return tls.Client(over, cfg)
}
