package report

import (
	"embed"
	"fmt"
	"time"

	"sluice/loadtest/internal/page"
)

//go:embed page.html
var pageFiles embed.FS

var pageTemplate = page.Parse(pageFiles, "page.html")

// A view is a report to look at: one file that asks nothing of the network.
type view struct {
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

// WritePage writes the page of --html. began is when the run did, args are the command's, and
// failed are the lines of Failures.
func WritePage(path string, res *Result, began time.Time, args, failed []string) error {
	drawn, err := plots(res)
	if err != nil {
		return err
	}
	p := view{
		Result: res, Began: began, Plots: drawn, Rows: res.rows(), Cards: res.cards(), Faults: res.faultRows(),
		System:  page.Machine(),
		Notes:   append(failed, res.warnings()...),
		Command: page.CommandLine(args),
	}
	switch {
	case res.Faulty():
		p.Verdict = "The server failed its clients"
	case len(failed) > 0:
		p.Verdict = "Outside of the limits that were set"
	case res.Unfinished > 0:
		p.Verdict = "All that came was right, but not all of it was waited for"
	default:
		p.IsGood, p.Verdict = true, "Every message reached every client, once, whole and in order"
	}
	return page.Write(path, pageTemplate, p)
}

func (res *Result) cards() []card {
	latency := words(res.Latency)
	faults := res.Lost + res.Duplicated + res.Reordered + res.Corrupted
	all := []card{
		{Name: "Clients", Text: page.Thousands(uint64(res.Clients - res.Connect.Failed)), IsBad: res.Connect.Failed > 0},
		{Name: "Deliveries", Text: page.Thousands(res.Delivered)},
		{Name: "Deliveries per second", Text: page.Thousands(uint64(res.DeliveriesPerSecond + 0.5))},
		{Name: "Latency, median", Text: fmt.Sprint(latency[0])},
		{Name: "Latency, p99", Text: fmt.Sprint(latency[2])},
		{Name: "Latency, longest", Text: fmt.Sprint(latency[4])},
		{Name: "Messages at fault", Text: page.Thousands(faults), IsBad: faults > 0},
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
		{"unfinished", res.Unfinished, "on their way, and coming, when the load test stopped waiting: not lost", false},
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
