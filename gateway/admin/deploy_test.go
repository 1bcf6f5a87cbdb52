package admin

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/gatewaytest"
)

const (
	dashboard  = "../../deploy/grafana/dashboard.json"
	alerts     = "../../deploy/prometheus/alerts.yml"
	alertTests = "../../deploy/prometheus/alerts_test.yml"
)

var (
	metricName = regexp.MustCompile(`\b(?:sluice|go|process)_[a-z0-9_]+\b`)
	labelOf    = regexp.MustCompile(`\b(?:sluice)_[a-z0-9_]+\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
)

// known are the metrics that /metrics tells, with the labels of each.
func known(t *testing.T) map[string]map[string]bool {
	t.Helper()
	s, _ := gatewaytest.Start(t, gatewaytest.Options())
	all, err := newRegistry(s, "v1", FigureOptions{Cluster: func() ClusterFigures { return ClusterFigures{} }}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]map[string]bool{}
	for _, f := range all {
		labels := map[string]bool{"job": true, "instance": true}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		names[f.GetName()] = labels
		if f.GetType().String() == "HISTOGRAM" {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				names[f.GetName()+end] = labels
			}
		}
	}
	return names
}

// checkQuery holds a query's names and labels to what there is.
func checkQuery(t *testing.T, names map[string]map[string]bool, where, query string) {
	t.Helper()
	found := metricName.FindAllString(query, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %q", where, query)
	}
	for _, name := range found {
		if names[name] == nil {
			t.Errorf("%s: there is no metric %s, in %q", where, name, query)
		}
	}
	for _, m := range labelOf.FindAllStringSubmatch(query, -1) {
		name, _, _ := strings.Cut(m[0], "{")
		for _, l := range labelName.FindAllStringSubmatch(m[1], -1) {
			if labels := names[name]; labels != nil && !labels[l[1]] {
				t.Errorf("%s: %s has no label %s", where, name, l[1])
			}
		}
	}
}

// The dashboard is what Grafana takes as far as that can be told without one, and each query names
// metrics that there are.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	names := known(t)
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title         string
		UID           string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion == 0 || len(d.Panels) < 10 {
		t.Errorf("%q, %q, version %d, %d panels", d.Title, d.UID, d.SchemaVersion, len(d.Panels))
	}
	defined := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		defined[v.Name] = true
		if v.Type == "query" {
			checkQuery(t, names, v.Name, v.Query)
		}
	}
	ids, taken := map[int]bool{}, map[string]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q, a %q with %d queries", p.ID, p.Title, p.Type, len(p.Targets))
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				at := fmt.Sprint(x, y)
				if other := taken[at]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		for _, q := range p.Targets {
			checkQuery(t, names, p.Title, q.Expr)
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				if !defined[m[1]] {
					t.Errorf("%s: there is no variable %s", p.Title, m[1])
				}
			}
		}
	}
}

func TestAlertsAskForWhatThereIs(t *testing.T) {
	names := known(t)
	text, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^ +- alert: (\w+)\n +expr: (.*)$`).FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "alert: "); n != len(rules) || n < 10 {
		t.Fatalf("%d alerts, %d found", n, len(rules))
	}
	tests, err := os.ReadFile(alertTests)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if !strings.HasPrefix(r[2], "up{") {
			checkQuery(t, names, r[1], r[2])
		}
		if !strings.Contains(string(tests), r[1]) {
			t.Errorf("alerts_test.yml has no test of %s", r[1])
		}
	}
}

func TestPromtoolTakesTheAlerts(t *testing.T) {
	promtool(t, "", "check", "rules", "--lint-fatal", alerts)
	promtool(t, "", "test", "rules", alertTests)
}
