package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// promtool is Prometheus' own judge of what it scrapes and of rules.
func promtool(t *testing.T, input string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		testenv.LeaveOut(t, "promtool is not here (Debian's package prometheus): %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// scrape is what Prometheus gets.
func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	r, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%s, %s, %v\n%s", r.Status, r.Header.Get("Content-Type"), err, body)
	}
	return string(body)
}

// families are what Prometheus' own parser makes of a scrape.
func families(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// value is that of the only series with the label's value, or of the only one if that is empty.
func value(t *testing.T, all map[string]*dto.MetricFamily, name, label string) float64 {
	t.Helper()
	for _, m := range all[name].GetMetric() {
		if label == "" || slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s of %q", name, label)
	return 0
}

// docs/metrics.md and the registry name the same metrics, with the same types and labels.
func TestMetricsAreDocumented(t *testing.T) {
	s, _ := gatewaytest.Start(t, gatewaytest.Options())
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(sluice_\\w+)` \\| (\\w+) \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2] + " " + strings.TrimSpace(m[3])
	}
	all, err := newRegistry(s, "v1", FigureOptions{Cluster: func() ClusterFigures { return ClusterFigures{} }}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		name := f.GetName()
		if !strings.HasPrefix(name, "sluice_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		is := strings.ToLower(f.GetType().String()) + " "
		want := documented[name]
		kind, names, _ := strings.Cut(want, " ")
		wanted := strings.Split(names, ", ")
		slices.Sort(wanted)
		if is+strings.Join(labels, ", ") != kind+" "+strings.Join(wanted, ", ") {
			t.Errorf("%s is a %s%v; docs/metrics.md says %q", name, is, labels, want)
		}
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md has %s, and /metrics does not", name)
	}
}

func TestPromtoolFindsNoFaultWithMetrics(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	wstest.LoseAFifth(t, addr, 10)
	if out := promtool(t, scrape(t, newMetrics(s, `v1 "quoted\`, FigureOptions{Cluster: func() ClusterFigures { return ClusterFigures{} }})), "check", "metrics"); out != "" {
		t.Errorf("promtool says:\n%s", out)
	}
}

// N24. A fifth of the clients reset in the middle of a fan-out, others do not read and leave: on
// /metrics what was owed became something, all of it, and what was accepted has closed or is there.
func TestN24_MetricsBalanceAfterFaults(t *testing.T) {
	o := gatewaytest.Options()
	o.RoomBacklog = 4 << 20
	o.PublishWindow = o.RoomBacklog // Nobody is held by those that do not read.
	s, addr := gatewaytest.Start(t, o)
	h := newMetrics(s, "v1", FigureOptions{})
	var narrow []*wstest.Client
	for range 3 {
		narrow = append(narrow, wstest.Join(t, addr, "/ws/r").Narrow())
	}
	others := wstest.Gather(t, addr, "/ws/r", 6, 64<<10) // More than those that do not read, for whom the room does not wait then.
	for range 20 {
		others.Publish(8)
		others.HearAll()
	}
	wstest.LoseAFifth(t, addr, 50)
	for _, c := range narrow {
		c.Reset()
	}
	var all map[string]*dto.MetricFamily
	get := func(name, label string) float64 { return value(t, all, name, label) }
	balances := func() bool {
		all = families(t, scrape(t, h))
		closed := 0.0
		for _, m := range all["sluice_closes_total"].GetMetric() {
			closed += m.GetCounter().GetValue()
		}
		return get("sluice_messages_owed_total", "") ==
			get("sluice_messages_delivered_total", "")+get("sluice_messages_skipped_total", "")+get("sluice_messages_ended_early_total", "") &&
			get("sluice_accepted_total", "") == closed+get("sluice_connections", "")
	}
	testenv.Eventually(t, "metrics balance", balances)
	if get("sluice_messages_ended_early_total", "") == 0 || get("sluice_messages_delivered_total", "") < 400 || get("sluice_overrun_total", "disconnect")+get("sluice_closes_total", "gone") < 3 {
		t.Errorf("nothing of note has happened:\n%s", scrape(t, h))
	}
	if get("sluice_received_bytes_total", "") < 160*64<<10 || get("sluice_delivered_bytes_total", "") < 400*64<<10 || get("sluice_own_sent_bytes_total", "") < 50*100 {
		t.Errorf("bytes are missing:\n%s", scrape(t, h))
	}
	ticks := all["sluice_loop_tick_seconds"].GetMetric()[0].GetHistogram()
	if ticks.GetSampleCount() == 0 || ticks.GetSampleSum() <= 0 || ticks.GetSampleCount() > uint64(get("sluice_loop_ticks_total", "")) {
		t.Errorf("%v for %v ticks", ticks, get("sluice_loop_ticks_total", ""))
	}
}

// O01. As many series with many rooms as with none, whatever clients call rooms, pages and
// themselves, and none of it in a label.
func TestO01_SeriesDoNotDependOnClients(t *testing.T) {
	rooms := 50
	if testenv.IsWholeSize(t) {
		rooms = 5000
	}
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	h := newMetrics(s, "v1", FigureOptions{})
	// What is sent compressed has another Content-Encoding, but as many lines.
	lines := func() (n int, text string) {
		text = scrape(t, h)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "sluice_") {
				n++
			}
		}
		return n, text
	}
	before, _ := lines()
	var all []*wstest.Client
	for i := range rooms {
		all = append(all, wstest.Join(t, addr, fmt.Sprintf("/ws/planted-%d", i)))
	}
	for _, head := range [][]byte{
		wstest.UpgradeHead("/ws/planted", "Origin: https://planted.example"), wstest.UpgradeHead("/ws/planted?token=planted"),
		wstest.RequestHead("GET /planted HTTP/1.1", "Host: sluice.test", "User-Agent: planted"), []byte("planted\r\n\r\n"),
	} {
		c := wstest.Connect(t, addr)
		c.Send(head)
		c.Response()
	}
	after, text := lines()
	if before != after || before == 0 {
		t.Errorf("%d series before, %d with %d rooms", before, after, rooms)
	}
	if strings.Contains(text, "planted") {
		t.Errorf("what clients say stands in metrics:\n%s", text)
	}
	if got := value(t, families(t, text), "sluice_rooms", ""); got < float64(rooms) {
		t.Errorf("%v rooms, want %d", got, rooms)
	}
	for _, c := range all {
		c.Close()
	}
}

// hung is a server one of whose loops does not answer.
type hung struct{ *gateway.Server }

func (hung) Stats(context.Context) (gateway.Stats, error) {
	return gateway.Stats{}, errors.New("no answer")
}

// A loop that hangs does not make all figures vanish, nor lets them look as though nothing had
// happened.
func TestMetricsSayThatALoopDoesNotAnswer(t *testing.T) {
	s, _ := gatewaytest.Start(t, gatewaytest.Options())
	all := families(t, scrape(t, newMetrics(hung{s}, "v1", FigureOptions{Dropped: func() uint64 { return 7 }})))
	if value(t, all, "sluice_answers", "") != 0 || value(t, all, "sluice_ready", "") != 1 || value(t, all, "sluice_log_lines_dropped_total", "") != 7 {
		t.Errorf("%v", all)
	}
	if all["sluice_connections"] != nil || all["sluice_messages_owed_total"] != nil || all["go_goroutines"] == nil || all["process_cpu_seconds_total"] == nil {
		t.Errorf("%v", all)
	}
	if all := families(t, scrape(t, newMetrics(s, "v1", FigureOptions{}))); value(t, all, "sluice_answers", "") != 1 {
		t.Error("loops that answer do not")
	}
}

// Many scrapes at once are answered or turned away, and harm nobody.
func TestScrapesAtOnce(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	others := wstest.Gather(t, addr, "/ws", 3, 100)
	server := httptest.NewServer(newMetrics(s, "v1", FigureOptions{}))
	defer server.Close()
	statuses := make(chan int, 40)
	for range cap(statuses) {
		go func() {
			r, err := server.Client().Get(server.URL)
			if err != nil {
				statuses <- 0
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			statuses <- r.StatusCode
		}()
	}
	others.Publish(100)
	others.HearAll()
	counts := map[int]int{}
	for range cap(statuses) {
		select {
		case status := <-statuses:
			counts[status]++
		case <-time.After(testenv.Patience):
			t.Fatal("a scrape hangs")
		}
	}
	if counts[200] == 0 || counts[200]+counts[503] != cap(statuses) {
		t.Errorf("answers: %v", counts)
	}
}

// The collector keeps the registry's rules, which look at all that it tells.
func TestCollectorIsPedantic(t *testing.T) {
	s, _ := gatewaytest.Start(t, gatewaytest.Options())
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(newCollector(s, "v1", FigureOptions{})); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}
