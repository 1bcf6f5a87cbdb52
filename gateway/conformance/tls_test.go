package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// startTLS runs a gateway on a port for TLS, with a certificate for localhost.
func startTLS(t *testing.T) (s *gateway.Server, addr string, authority *wstest.Authority) {
	t.Helper()
	testenv.RaiseProcessors()
	authority = wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, "localhost")
	o := gatewaytest.Options()
	o.TLSPairs = []gateway.TLSPair{{Cert: files[0], Key: files[1]}}
	s, err := gateway.New(o, slog.New(slog.NewTextHandler(testenv.LogTo(t), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); gatewaytest.CheckAccounts(t, s) })
	if err := s.ListenWith("127.0.0.1:0", gateway.ListenOptions{TLS: true}); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return s, "localhost:" + port, authority
}

// run runs a client of somebody else's with this input and returns all that it says.
func run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		testenv.LeaveOut(t, "%s is not here: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// curl gets the page, and one connection serves several requests.
func TestTLSCurlGetsThePage(t *testing.T) {
	s, addr, authority := startTLS(t)
	url := "https://" + addr + "/"
	out := run(t, "", "curl", "-sS", "--noproxy", "*", "--cacert", authority.File, "-w", "%{http_version} %{ssl_verify_result} %{num_connects}\n", url, url, url+"livez")
	if strings.Count(out, "<!doctype html>")+strings.Count(out, "<!DOCTYPE html>") != 2 || strings.Count(out, "1.1 0 1\n") != 1 || strings.Count(out, "1.1 0 0\n") != 2 {
		t.Errorf("curl says:\n%.3000s", out)
	}
	if st := testenv.StatsOf(t, s).TLS; st.Handshakes != 1 {
		t.Errorf("%d handshakes, want one", st.Handshakes)
	}
}

// openssl joins a room over both versions, and resumes a session.
func TestTLSOpenSSLJoins(t *testing.T) {
	s, addr, authority := startTLS(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		session := t.TempDir() + "/session"
		for _, which := range []string{"-sess_out", "-sess_in"} {
			// Its input's end ends the connection, so the answer is waited for in front of it.
			command := fmt.Sprintf(`(printf 'GET /ws/ssl HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'; printf '\x81\x85\0\0\0\0hello'; cat <&3) | openssl s_client -connect %s -servername localhost -CAfile %s -verify_return_error %s -alpn h2,http/1.1 %s %s 2>&1`,
				addr, authority.File, version, which, session)
			out := talk(t, command, "hello")
			for _, want := range []string{"Verify return code: 0 (ok)", "ALPN protocol: http/1.1", "HTTP/1.1 101", wstest.SampleAccept, "hello"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s %s: no %q in:\n%s", version, which, want, out)
				}
			}
			if which == "-sess_in" && !strings.Contains(out, "Reused, TLSv1") {
				t.Errorf("%s: the session was not resumed:\n%s", version, out)
			}
		}
	}
	if st := testenv.StatsOf(t, s).TLS; st.Handshakes != 4 || st.Resumed != 2 {
		t.Errorf("%d handshakes, %d resumed; want 4 and 2", st.Handshakes, st.Resumed)
	}
	if out := run(t, "", "openssl", "s_client", "-connect", addr, "-tls1_1", "-cipher", "ALL@SECLEVEL=0"); !strings.Contains(out, "alert protocol version") {
		t.Errorf("TLS 1.1 is answered with:\n%s", out)
	}
}

// talk runs a shell's command, whose descriptor 3 ends when it has said these words.
func talk(t *testing.T, command, words string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		testenv.LeaveOut(t, "openssl is not here: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec 3<&0; "+command)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for p := make([]byte, 4096); ; {
		n, err := out.Read(p)
		said.Write(p[:n])
		if strings.Contains(said.String(), words) {
			in.Close()
		}
		if err != nil {
			break
		}
	}
	in.Close()
	_ = cmd.Wait() // It may mind how the connection ended.
	return said.String()
}

// Chromium opens the page over https and talks over wss.
func TestTLSChromiumTalks(t *testing.T) {
	t.Parallel()
	s, addr, _ := startTLS(t)
	browser := browsertest.Start(t)
	if _, err := chromedp.Call(browser, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true}); err != nil {
		t.Fatal(err)
	}
	p := openPage(t, browser, "https://"+addr+"/#secret")
	p.say("through wss")
	p.hears("through wss")
	if st := testenv.StatsOf(t, s); st.Upgrades != 1 || st.TLS.Handshakes == 0 {
		t.Errorf("%d upgrades and %d handshakes", st.Upgrades, st.TLS.Handshakes)
	}
}
