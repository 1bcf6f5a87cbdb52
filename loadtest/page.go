package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"os"
	"runtime"
	"strings"
	"time"
)

//go:embed style.html page.html comparison.html
var pageFiles embed.FS

// pages are the templates, each named as its file.
var pages = template.Must(template.ParseFS(pageFiles, "*.html"))

// A page is a report to look at: one file that asks nothing of the network.
type page struct {
	Result  *Result
	Began   time.Time
	System  string
	IsGood  bool
	Verdict string
	Cards   []card
	Plots   []figurePlot
	Rows    []row
	Faults  []faultRow
	Notes   []string
	Command string
}

// A card is a figure that one looks at first.
type card struct {
	Name, Text string
	IsBad      bool
}

type faultRow struct {
	Name    string
	Count   uint64
	Meaning string
	IsBad   bool
}

// writePage writes the page of --html. failed are the gates that the run failed by.
func writePage(path string, res *Result, began time.Time, args, failed []string) error {
	drawn, err := plots(res)
	if err != nil {
		return err
	}
	p := page{
		Result: res, Began: began, Plots: drawn, Rows: res.rows(), Cards: res.cards(), Faults: res.faultRows(),
		System:  machine(),
		Notes:   append(failed, res.warnings()...),
		Command: commandLine(args),
	}
	switch {
	case res.faulty():
		p.Verdict = "The server failed its clients"
	case len(failed) > 0:
		p.Verdict = "Outside of the limits that were set"
	default:
		p.IsGood, p.Verdict = true, "Every message reached every client, once, whole and in order"
	}
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, "page.html", p); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

// machine is where the tool ran, and the server if it was spawned.
func machine() string {
	return fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

func (res *Result) cards() []card {
	latency := words(res.Latency)
	faults := res.Lost + res.Duplicated + res.Reordered + res.Corrupted
	all := []card{
		{Name: "Clients", Text: thousands(uint64(res.Clients - res.Connect.Failed)), IsBad: res.Connect.Failed > 0},
		{Name: "Deliveries", Text: thousands(res.Delivered)},
		{Name: "Deliveries per second", Text: thousands(uint64(res.DeliveriesPerSecond + 0.5))},
		{Name: "Latency, median", Text: fmt.Sprint(latency[0])},
		{Name: "Latency, p99", Text: fmt.Sprint(latency[2])},
		{Name: "Latency, longest", Text: fmt.Sprint(latency[4])},
		{Name: "Messages at fault", Text: thousands(faults), IsBad: faults > 0},
	}
	if s := res.Server; s != nil {
		all = append(all,
			card{Name: "CPU per delivery", Text: fmt.Sprintf("%.2f µs", s.CPUPerDelivery)},
			card{Name: "Server memory", Text: fmt.Sprintf("%.1f MB", float64(s.RSS)/1e6)})
	}
	return all
}

func (res *Result) faultRows() []faultRow {
	rows := []faultRow{
		{"lost", res.Lost, "never came", true},
		{"duplicated", res.Duplicated, "came again", true},
		{"reordered", res.Reordered, "came behind a later message of the same publisher", true},
		{"corrupted", res.Corrupted, "came with other bytes", true},
		{"closed", uint64(res.Closed), "connections that the server ended", true},
		{"violations", uint64(res.Violations), "connections on which the server broke RFC 6455", true},
		{"failed", uint64(res.Connect.Failed), "connections that did not open", true},
		{"foreign", res.Foreign, "messages that are not the load test's: no fault", false},
	}
	for i := range rows {
		rows[i].IsBad = rows[i].IsBad && rows[i].Count > 0
	}
	return rows
}

// thousands writes n in groups of three, apart by a space that does not break.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "\u202f" + s[at:]
	}
	return s
}

// commandLine is the command for a shell.
func commandLine(args []string) string {
	words := []string{"loadtest"}
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return !isPlain(r) }) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// isPlain says that a shell takes r as it is.
func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@%+", r)
}
