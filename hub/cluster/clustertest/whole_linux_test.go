package clustertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/natstest"
	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// A whole is gateways, brokers and clients that are processes, and what was measured of them.
type whole struct {
	*testing.T
	size
	loadtest string // the program
	sides    []*side
	rows     []*row
}

// A side is one gateway, or two of a cluster: then messages are published at one and read at the
// other.
type side struct {
	name          string
	publish, read *proctest.Process
	admin         *http.Client // of the one that reads
}

func (s *side) isCluster() bool { return s.publish != s.read }

// startWhole starts the sides. The first is one gateway, and what all others are held against.
func startWhole(t *testing.T, of size) *whole {
	w := &whole{T: t, size: of, loadtest: filepath.Join(t.TempDir(), "loadtest")}
	if out, err := exec.Command("go", "build", "-o", w.loadtest, "sluice/loadtest").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	w.sides = []*side{w.launch("one gateway"), w.launch("one more")}
	for _, servers := range []int{1, 3} {
		cluster := []string{
			"--cluster=" + strings.Join(natstest.URLs(natstest.StartProcesses(t, servers)), ","),
			fmt.Sprint("--cluster-replicas=", servers), "--cluster-bytes=4GiB",
		}
		publishing, s := w.launch("", cluster...), w.launch(fmt.Sprint("two, R", servers), cluster...)
		s.publish = publishing.read
		w.sides = append(w.sides, s)
	}
	return w
}

// launch starts a gateway with one loop, and waits until it is ready.
func (w *whole) launch(name string, flags ...string) *side {
	w.Helper()
	dir, err := os.MkdirTemp("", "whole") // The test's own directory has too long a name for a socket.
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin")
	flags = append(flags, "--listen=127.0.0.1:0", "--loops=1", "--history=kept*=messages:1000", "--anonymous=*=read,publish,history",
		"--admin-listen=unix:"+socket)
	p := proctest.Launch(w.T, proctest.LastingCommand(w.T, time.Hour, flags...))
	w.Cleanup(func() {
		if w.Failed() {
			w.Log(p.Logged())
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	s := &side{name: name, publish: p, read: p, admin: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
	testenv.Eventually(w, "a gateway is ready", func() bool {
		r, err := http.Get("http://" + p.Addr + "/readyz")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
	return s
}

// metric is one of the reading gateway's.
func (w *whole) metric(s *side, name string) float64 {
	w.Helper()
	r, err := s.admin.Get("http://admin/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w.Fatal(err)
			}
			return n
		}
	}
	w.Fatalf("there is no %s", name)
	return 0
}

// A loaded is what the load test reports.
type loaded struct {
	Messages  float64 `json:"messages"`
	Seconds   float64 `json:"seconds"`
	Expected  int     `json:"expected"`
	Delivered int     `json:"delivered"`
	Latency   struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
	Server struct {
		CPUSeconds float64 `json:"cpu_seconds"` // of the gateway that reads
	} `json:"server"`
}

// load has publishers speak on one of the side's gateways, and everybody else read at the other:
// nothing may be lost, doubled or out of its publisher's order.
func (w *whole) load(s *side, path string, args ...string) loaded {
	w.Helper()
	file := filepath.Join(w.TempDir(), "report")
	args = append(args, "--quiet", "--loss-timeout=20s", "--json="+file, fmt.Sprint("--pid=", s.read.PID()))
	if s.isCluster() {
		args = append(args, "--publish-at="+s.publish.Addr)
	}
	cmd := exec.Command(w.loadtest, append(args, "ws://"+s.read.Addr+path)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v: %v\n%s", s.name, cmd.Args, err, out)
	}
	text, err := os.ReadFile(file)
	var r loaded
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || r.Delivered == 0 || r.Delivered != r.Expected {
		w.Fatalf("%s: %d of %d delivered: %v", s.name, r.Delivered, r.Expected, err)
	}
	return r
}

// resident is what the reading gateway has in memory, in bytes.
func (w *whole) resident(s *side) float64 {
	w.Helper()
	return w.metric(s, "process_resident_memory_bytes")
}

// A row is a figure of each side, as often as it was measured.
type row struct {
	name   string
	of     map[string][]float64 // by side; the values of one round have the same place
	format string
}

// row begins one, for the table at the end.
func (w *whole) row(name, format string) *row {
	r := &row{name: name, of: map[string][]float64{}, format: format}
	w.rows = append(w.rows, r)
	return r
}

func (r *row) add(s *side, value float64) { r.of[s.name] = append(r.of[s.name], value) }

// beyondFirst fills another row with how much more each round's values are than the first side's.
func (r *row) beyondFirst(w *whole, to *row) {
	for _, s := range w.sides[1:] {
		for i, value := range r.of[s.name] {
			to.add(s, value-r.of[w.sides[0].name][i])
		}
	}
}

// print tells medians, with the lowest and the highest.
func (w *whole) print() {
	var table strings.Builder
	table.WriteString("\n| |")
	for _, s := range w.sides {
		fmt.Fprintf(&table, " %s |", s.name)
	}
	table.WriteString("\n|---" + strings.Repeat("|---", len(w.sides)) + "|\n")
	for _, r := range w.rows {
		fmt.Fprintf(&table, "| %s |", r.name)
		for _, s := range w.sides {
			if all := slices.Sorted(slices.Values(r.of[s.name])); len(all) > 0 {
				fmt.Fprintf(&table, " "+r.format, all[len(all)/2])
				if len(all) > 1 {
					fmt.Fprintf(&table, " ("+r.format+" to "+r.format+")", all[0], all[len(all)-1])
				}
			}
			table.WriteString(" |")
		}
		table.WriteString("\n")
	}
	w.Log(table.String())
}
