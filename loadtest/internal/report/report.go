// Package report puts what a run found into figures, and these into JSON, a table for people and a
// page. It judges whether the server failed its clients, and whether the run is within the limits
// that somebody set.
package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/usage"
)

// A Result is what a run found: the JSON of --json.
type Result struct {
	Target     string  `json:"target"`
	Clients    int     `json:"clients"`
	Publishers int     `json:"publishers"`
	Rooms      int     `json:"rooms"`
	Processes  int     `json:"processes"` // of the tool
	Size       int     `json:"size"`      // the largest, when they differ
	Sizes      string  `json:"sizes"`
	Window     int     `json:"window"`
	Rate       float64 `json:"rate"` // messages a second asked for; 0 in a closed loop
	Messages   uint64  `json:"messages"`
	Seconds    float64 `json:"seconds"`

	Expected   uint64  `json:"expected"`
	Delivered  uint64  `json:"delivered"`
	Lost       uint64  `json:"lost"`
	Unfinished uint64  `json:"unfinished"` // on their way when the tool stopped waiting
	Duplicated uint64  `json:"duplicated"`
	Reordered  uint64  `json:"reordered"`
	Corrupted  uint64  `json:"corrupted"`
	Foreign    uint64  `json:"foreign"`
	Closed     int     `json:"closed"`      // connections that the server ended
	Violations int     `json:"violations"`  // connections on which the server broke the protocol
	Misplaced  uint64  `json:"misplaced"`   // positions that were not the next one
	WarmupLost uint64  `json:"warmup_lost"` // before the measurement, not in Lost
	Orders     int     `json:"orders"`      // most different ones in a room; 1 is a total order
	Backlog    int     `json:"backlog"`     // open loop: not everywhere when the last was due
	Sustained  bool    `json:"sustained"`   // open loop: backlog below a second's messages
	Timeouts   int     `json:"timeouts"`    // messages that a publisher went on without
	Reach      float64 `json:"reach"`       // Delivered ÷ Expected

	DeliveriesPerSecond float64           `json:"deliveries_per_second"`
	BytesPerDelivery    float64           `json:"bytes_per_delivery"` // with all that came
	Latency             latency.Quantiles `json:"latency_us"`
	Skew                latency.Quantiles `json:"skew_us"`

	Connect struct {
		Seconds   float64 `json:"seconds"`
		PerSecond float64 `json:"per_second"`
		Failed    int     `json:"failed"`
	} `json:"connect"`
	Server *ServerCost `json:"server,omitempty"`
	Client struct {
		CPUPerDelivery float64 `json:"cpu_us_per_delivery"`
		Busy           float64 `json:"busy"`    // share of its loops' time that the tool computed
		Waiting        float64 `json:"waiting"` // … and that it waited for a processor
		Saturated      bool    `json:"saturated"`
	} `json:"client"`
	Protocol       string `json:"protocol"`
	Format         string `json:"format,omitempty"` // of a protocol that has several
	RoomsPerClient int    `json:"rooms_per_client"`
	Events         struct {
		Readers int `json:"readers"`
	} `json:"events"`
	Positions    *Positions    `json:"positions,omitempty"` // nil where nobody is told any
	Crowd        process.Crowd `json:"crowd"`
	Guess        string        `json:"guess,omitempty"`        // what a pattern in what was lost may mean
	Explanations []string      `json:"explanations,omitempty"` // of what happened to connections
	Series       []Sample      `json:"series,omitempty"`

	Histogram latency.Histogram `json:"-"` // what Latency was taken from
}

// Positions are what became of those who are told positions.
type Positions struct {
	Resets  uint64 `json:"resets"`  // times that somebody was told of a gap
	Excused uint64 `json:"excused"` // messages in the gaps, neither expected nor lost
}

// ServerCost is what the server's processes used.
type ServerCost struct {
	CPUPerDelivery      float64            `json:"cpu_us_per_delivery"`
	CPUPerConnection    float64            `json:"cpu_us_per_connection"`
	CPUSeconds          float64            `json:"cpu_seconds"` // in the measured phase
	SwitchesPerSecond   float64            `json:"context_switches_per_second"`
	RSS                 int64              `json:"rss_bytes"`
	RSSPerConnection    float64            `json:"rss_bytes_idle_per_connection"`
	LoadedPerConnection float64            `json:"rss_bytes_loaded_per_connection"`
	RSSPerStalled       float64            `json:"rss_bytes_per_stalled"` // growth from idle on
	Said                map[string]float64 `json:"said,omitempty"`        // of its last log line
}

// ErrFaulty says that the report has the details.
var ErrFaulty = errors.New("the server failed its clients")

// busyMax is the share of its loops' time from which on the tool was the bottleneck.
const busyMax = 0.9

// waitingMax is the share of its loops' time without a processor from which on latencies are the
// machine's.
const waitingMax = 0.1

// Phases are what the clock and the accounts of the server's processes said around the phases of a
// run. The observations are zero if no server was observed.
type Phases struct {
	Before, Idle, From, To usage.Observation // From and To are around the measured phase
	Connecting             time.Duration
	Seconds                float64 // of the measured phase
	Processes              int     // of the tool
}

// New puts into figures what all processes found.
func New(cfg *load.Load, targets []*load.Target, all *process.Findings, p *Phases) *Result {
	res := &Result{
		Clients: cfg.Clients, Publishers: cfg.Publishers, Rooms: cfg.Rooms * len(targets), Window: cfg.Window, Rate: cfg.Rate,
		Size: cfg.Size.Largest(), Sizes: cfg.Size.String(), Seconds: round(p.Seconds, 6), Messages: all.Messages,
		Expected: all.Expected, Delivered: all.Counts.Delivered, Lost: all.Lost, Unfinished: all.Unfinished, Duplicated: all.Counts.Duplicated,
		Reordered: all.Counts.Reordered, Corrupted: all.Counts.Corrupted, Foreign: all.Counts.Foreign,
		Closed: all.Faults.Count[process.FaultClosed], Violations: all.Faults.Count[process.FaultProtocol], WarmupLost: all.WarmupLost,
		Orders: all.OrdersMost(), Backlog: all.Backlog, Timeouts: all.Timeouts, Crowd: all.Crowd, Processes: p.Processes,
		Sustained: float64(all.Backlog) <= cfg.Rate, Latency: all.Latency.Quantiles(), Skew: all.Skew.Quantiles(),
		Histogram: all.Latency, Series: samples(all.Points, p.From),
	}
	var urls []string
	for _, t := range targets {
		urls = append(urls, t.URL)
	}
	res.Target = strings.Join(urls, " ")
	res.Connect.Failed = all.Faults.Count[process.FaultConnect]
	for _, why := range all.Faults.Explain() {
		res.Explanations = append(res.Explanations, fmt.Sprintf("%d × %s", all.Faults.Words[why], why))
	}
	crowd := cfg.CrowdSizes()
	res.Crowd.Stalled, res.Crowd.Slow, res.Crowd.Guests = crowd[load.KindStalled], crowd[load.KindSlow], crowd[load.KindGuest]
	res.Crowd.Resumers = crowd[load.KindResumer]
	res.Crowd.CaughtUpSeconds = round(max(0, res.Crowd.CaughtUpSeconds), 6)
	res.Misplaced = all.Positions.Misplaced
	res.Protocol, res.RoomsPerClient, res.Events.Readers = cfg.Protocol, cfg.RoomsPerClient, cfg.SSE
	if cfg.Protocol == load.Centrifuge {
		res.Format = cmp.Or(cfg.Format, "json")
	}
	if cfg.SSE > 0 || cfg.Protocol == load.Centrifuge {
		res.Positions = &Positions{all.Positions.Resets, all.Positions.Excused}
	}
	res.Crowd.StormSeconds = round(res.Crowd.StormSeconds, 6)
	if res.Expected > 0 {
		res.Reach = round(float64(res.Delivered)/float64(res.Expected), 9)
	}
	res.DeliveriesPerSecond = round(float64(res.Delivered)/max(p.Seconds, 1e-9), 1)
	res.BytesPerDelivery = round(float64(all.Wire)/float64(max(1, res.Delivered)), 1)
	res.Client.CPUPerDelivery = perDelivery(all.Spent, res.Delivered)
	res.Client.Busy = round(all.Spent.Seconds()/max(p.Seconds, 1e-9)/float64(all.Loops), 3)
	res.Client.Waiting = round(all.Waited.Seconds()/max(p.Seconds, 1e-9)/float64(all.Loops), 3)
	res.Guess = guess(cfg, all)
	res.Client.Saturated = res.Client.Busy > busyMax
	res.Connect.Seconds = round(p.Connecting.Seconds(), 6)
	res.Connect.PerSecond = round(float64(cfg.Clients-res.Connect.Failed)/p.Connecting.Seconds(), 1)
	res.addServer(p)
	res.addStalled(p)
	return res
}

// guess is what it may mean that some clients got everything and others nothing; empty if it is not
// so.
func guess(cfg *load.Load, all *process.Findings) string {
	heard, missed := all.Counts.Delivered, all.Lost+all.Unfinished
	switch {
	case missed == 0 || heard+missed != all.Expected:
		return ""
	case heard == 0 && all.Counts.Foreign > 0:
		return "nobody got a message of ours, but others came: does the server wrap messages? Try --contains"
	case heard == 0:
		return "nobody got anything, not even the sender: does this path broadcast?"
	case heard == all.Echoed:
		return "only the sender hears it: an echo server, or another room?"
	case all.Echoed == 0 && missed == all.Messages && !cfg.NoEcho:
		return "everybody but the sender hears it: a server that does not echo? Try --no-echo"
	}
	return ""
}

// addServer works out what the observations of the server's processes mean.
func (res *Result) addServer(p *Phases) {
	if !p.From.OK || !p.To.OK {
		return
	}
	joined := float64(max(1, res.Clients-res.Connect.Failed))
	spent := p.To.CPU - p.From.CPU
	res.Server = &ServerCost{
		CPUPerDelivery:      perDelivery(spent, res.Delivered),
		CPUPerConnection:    round((p.Idle.CPU-p.Before.CPU).Seconds()*1e6/joined, 3),
		CPUSeconds:          round(spent.Seconds(), 6),
		SwitchesPerSecond:   round(float64(p.To.Switches-p.From.Switches)/max(p.Seconds, 1e-9), 1),
		RSS:                 p.To.RSS,
		RSSPerConnection:    round(float64(p.Idle.RSS-p.Before.RSS)/joined, 1),
		LoadedPerConnection: round(float64(p.To.RSS-p.Before.RSS)/joined, 1),
	}
}

// addStalled works out what each stalled client made the server's memory grow by.
func (res *Result) addStalled(p *Phases) {
	if res.Server != nil && res.Crowd.Stalled > 0 {
		res.Server.RSSPerStalled = round(float64(p.To.RSS-p.Idle.RSS)/float64(res.Crowd.Stalled), 1)
	}
}

// Hear adds what one of the servers said of itself in its last log line.
func (s *ServerCost) Hear(said map[string]float64) {
	for name, n := range said {
		if s.Said == nil {
			s.Said = make(map[string]float64)
		}
		s.Said[name] += n
	}
}

func perDelivery(cpu time.Duration, deliveries uint64) float64 {
	return round(cpu.Seconds()*1e6/float64(max(1, deliveries)), 4)
}

func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// Faulty says whether the server failed its clients.
func (res *Result) Faulty() bool {
	return res.Lost+res.Duplicated+res.Reordered+res.Corrupted+res.Misplaced+res.WarmupLost > 0 ||
		res.Closed+res.Violations+res.Connect.Failed > 0
}

// WriteJSON writes the result to a file.
func (res *Result) WriteJSON(path string) error {
	b, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// A row is one line of the report for people.
type row struct{ Name, Text string }

// Print writes the table for people, and below it warnings and what happened to connections.
func (res *Result) Print(w io.Writer) {
	for _, r := range res.rows() {
		fmt.Fprintf(w, "%-12s %s\n", r.Name, r.Text)
	}
	for _, line := range res.warnings() {
		fmt.Fprintln(w, line)
	}
}

func (res *Result) rows() (rows []row) {
	add := func(name, format string, args ...any) { rows = append(rows, row{name, fmt.Sprintf(format, args...)}) }
	add("clients", "%d joined, %d failed, %.0f a second", res.Clients-res.Connect.Failed, res.Connect.Failed, res.Connect.PerSecond)
	if res.RoomsPerClient > 1 {
		add("rooms", "%d, of which each client is in %d", res.Rooms, res.RoomsPerClient)
	}
	add("messages", "%d of %s bytes in %.3f s", res.Messages, res.Sizes, res.Seconds)
	add("deliveries", "%d of %d, %.0f a second, %.0f bytes each", res.Delivered, res.Expected, res.DeliveriesPerSecond, res.BytesPerDelivery)
	add("latency", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", words(res.Latency)...)
	add("skew", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", words(res.Skew)...)
	add("faults", "%d lost, %d duplicated, %d reordered, %d corrupted, %d foreign, %d closed, %d violations",
		res.Lost, res.Duplicated, res.Reordered, res.Corrupted, res.Foreign, res.Closed, res.Violations)
	if res.Events.Readers > 0 {
		add("events", "%d readers", res.Events.Readers)
	}
	if p := res.Positions; p != nil {
		add("positions", "%d misplaced, %d resets that tell of %d messages", res.Misplaced, p.Resets, p.Excused)
	}
	if c := res.Crowd; c.Stalled+c.Slow+c.Guests+c.Resumers > 0 {
		add("crowd", "%d stalled (%d closed by the server, %d still connected), %d slow (%d closed, %d deliveries), %d guests and resumers (left %d times, returned %d, %d refused and tried again)",
			c.Stalled, c.StalledClosed, c.StalledOpen, c.Slow, c.SlowClosed, c.SlowDelivered, c.Guests+c.Resumers, c.Left, c.Returned, c.Refused)
		switch {
		case c.StormSeconds > 0 && c.Resumers > 0:
			add("storm", "all were back after %.2f s, and had what they had missed after %.2f s", c.StormSeconds, c.CaughtUpSeconds)
		case c.StormSeconds > 0:
			add("storm", "all were back after %.2f s", c.StormSeconds)
		}
	}
	if res.Rate > 0 {
		add("schedule", "%g messages a second, %s; behind by %d at the end", res.Rate,
			map[bool]string{true: "sustained", false: "NOT SUSTAINED"}[res.Sustained], res.Backlog)
	}
	if res.Orders > 1 {
		add("order", "clients of one room saw %d different orders; each publisher's own order is judged above", res.Orders)
	}
	if s := res.Server; s != nil {
		add("server", "%.3f µs of CPU per delivery, %.1f µs per connection, %.1f MB resident, %.0f bytes per idle connection",
			s.CPUPerDelivery, s.CPUPerConnection, float64(s.RSS)/1e6, s.RSSPerConnection)
		if res.Crowd.Stalled > 0 {
			add("", "%.0f bytes of growth per stalled client", s.RSSPerStalled)
		}
		if m := s.Said["deliveries"] / s.Said["writes"]; m > 0 {
			add("", "%.2f messages per write, by its own count", m)
		}
	}
	add("load test", "%.3f µs of CPU per delivery, %.0f %% busy", res.Client.CPUPerDelivery, 100*res.Client.Busy)
	return rows
}

func (res *Result) warnings() (lines []string) {
	if res.Client.Saturated {
		lines = append(lines, "warning: the load test itself was the bottleneck; latency and rate are its own. Try --loops, or fewer clients.")
	}
	if res.Client.Waiting > waitingMax {
		lines = append(lines, fmt.Sprintf("warning: the load test had to wait for a processor for %.0f %% of its loops' time; latency is the machine's, too. "+
			"Leave it processors of its own, or load from another machine.", 100*res.Client.Waiting))
	}
	if res.Guess != "" {
		lines = append(lines, "warning: "+res.Guess)
	}
	if res.Unfinished > 0 {
		lines = append(lines, fmt.Sprintf("warning: %d deliveries were still on their way, and coming, when --drain was over: they are not counted as lost", res.Unfinished))
	}
	if res.WarmupLost > 0 {
		lines = append(lines, fmt.Sprintf("warning: %d messages were lost in the warm-up", res.WarmupLost))
	}
	if res.Timeouts > 0 {
		lines = append(lines, fmt.Sprintf("warning: publishers went on without waiting any longer for %d messages", res.Timeouts))
	}
	for _, why := range res.Explanations {
		lines = append(lines, "connection: "+why)
	}
	return lines
}

// words are the quantiles for people.
func words(q latency.Quantiles) []any {
	var all []any
	for _, us := range []float64{q.P50, q.P90, q.P99, q.P999, q.Max} {
		switch {
		case us < 1e3:
			all = append(all, fmt.Sprintf("%.0f µs", us))
		case us < 1e6:
			all = append(all, fmt.Sprintf("%.2f ms", us/1e3))
		default:
			all = append(all, fmt.Sprintf("%.2f s", us/1e6))
		}
	}
	return all
}
