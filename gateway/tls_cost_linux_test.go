package gateway

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

var (
	costRounds  = flag.Int("cost-rounds", 1, "how often TestTLSCostOfADelivery measures each way; more than one is meant")
	costClients = flag.Int("cost-clients", 4, "… with so many clients")
	costSize    = flag.Int("cost-size", 64, "… and messages of n bytes")
	costNginx   = flag.Bool("cost-nginx", false, "… and nginx in front, which ends TLS, as well")
)

// TestTLSListeners is the clients of the test below, in a process of their own. It says so when
// each has heard as many messages as it was told to wait for.
func TestTLSListeners(t *testing.T) {
	words := strings.Fields(os.Getenv(holdersEnv))
	if len(words) != 5 || words[0] != "listen" {
		return // Only of use as a child of the test below.
	}
	count, _ := strconv.Atoi(words[2])
	size, _ := strconv.Atoi(words[3])
	var cfg *tls.Config
	if words[4] != "-" {
		text, err := os.ReadFile(words[4])
		if err != nil {
			t.Fatal(err)
		}
		cfg = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: serverName}
		cfg.RootCAs.AppendCertsFromPEM(text)
	}
	heard, told := make(chan error), make(chan int)
	var each []chan int
	for range count {
		c, err := net.Dial("tcp", words[1])
		if err != nil {
			t.Fatal(err)
		}
		if cfg != nil {
			c = tls.Client(c, cfg)
		}
		if _, err := c.Write(wstest.UpgradeHead("/ws/cost")); err != nil {
			t.Fatal(err)
		}
		expectSwitching(t, c)
		tell := make(chan int)
		each = append(each, tell)
		go func() {
			in := bufio.NewReaderSize(c, 64<<10)
			for n := range tell {
				_, err := io.CopyN(io.Discard, in, int64(n*len(frameOf(size))))
				heard <- err
			}
		}()
	}
	fmt.Println("listening")
	go func() {
		defer close(told)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			n, _ := strconv.Atoi(in.Text())
			told <- n
		}
	}()
	for n := range told {
		for _, tell := range each {
			tell <- n
		}
		fmt.Println("waiting")
		for range each {
			if err := <-heard; err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("heard")
	}
	for _, tell := range each {
		close(tell)
	}
}

func frameOf(size int) []byte {
	return wsproto.AppendFrame(nil, wsproto.OpBinary, make([]byte, size))
}

// What a delivery costs the server's processor over TLS and with nginx in front, as a ratio to a
// plain one in the same round; small by default, for the figures of docs/benchmarks.md by flags.
// One message at a time, and sixteen at once.
func TestTLSCostOfADelivery(t *testing.T) {
	g := startTLS(t, testConfig())
	type way struct {
		name, addr, ca string
		pid            int // of what else works for it
	}
	ways := []way{{name: "plain", addr: g.plain, ca: "-"}, {name: "TLS", addr: g.addr, ca: g.authority.File}}
	if *costNginx {
		addr, pid := endTLSByNginx(t, g)
		ways = append(ways, way{"nginx", addr, g.authority.File, pid})
	}
	publisher := wstest.Dial(t, g.plain, "/ws/cost?echo=0")
	payload := make([]byte, *costSize)
	ratios := map[string][]float64{}
	for range *costRounds {
		base := map[int]float64{}
		for _, way := range ways {
			child := proctest.StartChild(t, holdersEnv, fmt.Sprintf("listen %s %d %d %s", way.addr, *costClients, *costSize, way.ca), "TestTLSListeners")
			child.Await("listening")
			for _, burst := range []int{1, 16} {
				const messages = 320
				if _, err := fmt.Fprintln(child.In, messages); err != nil {
					t.Fatal(err)
				}
				child.Await("waiting")
				before := processorTime(t, way.pid)
				for range messages / burst {
					for range burst {
						write(t, publisher, websocket.MessageBinary, payload)
					}
					if *costRounds > 1 {
						time.Sleep(5 * time.Millisecond) // The next burst is not to meet this one.
					}
				}
				child.Await("heard")
				each := float64(processorTime(t, way.pid)-before) / float64(messages**costClients)
				if way.name == "plain" {
					base[burst] = each
				}
				name := fmt.Sprintf("%s, %d at once", way.name, burst)
				ratios[name] = append(ratios[name], each/base[burst])
				t.Logf("%s: %.2f µs each", name, each/1000)
			}
			child.End()
			testenv.Eventually(t, "the clients have left", func() bool { return g.Open() == 1 })
		}
	}
	for name, all := range ratios {
		slices.Sort(all)
		t.Logf("%s: %.2f of a plain one (%.2f to %.2f)", name, all[len(all)/2], all[0], all[len(all)-1])
	}
}

// processorTime is what this process and another one have taken of the processors, in nanoseconds.
func processorTime(t *testing.T, pid int) int64 {
	t.Helper()
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	sum := own.Utime.Nano() + own.Stime.Nano()
	if pid == 0 {
		return sum
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	other, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return sum + other
}

// endTLSByNginx runs nginx in front of the plain listener, with the gateway's certificate.
func endTLSByNginx(t *testing.T, g *tlsGateway) (addr string, pid int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.77.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	dir := t.TempDir()
	conf := fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 8192; }
http {
	access_log off; client_body_temp_path body; proxy_temp_path proxied; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	server {
		listen %s ssl; ssl_certificate %s; ssl_certificate_key %s;
		location / { proxy_pass http://%s; proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
	}
}`, addr, g.pair[0], g.pair[1], g.plain)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", "conf")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	testenv.Eventually(t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr, cmd.Process.Pid
}
