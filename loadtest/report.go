package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// A Result is what a run found: the JSON of --json.
type Result struct {
	Target     string  `json:"target"`
	Clients    int     `json:"clients"`
	Publishers int     `json:"publishers"`
	Rooms      int     `json:"rooms"`
	Size       int     `json:"size"` // the largest, when they differ
	Sizes      string  `json:"sizes"`
	Window     int     `json:"window"`
	Rate       float64 `json:"rate"` // messages a second asked for; 0 in a closed loop
	Messages   uint64  `json:"messages"`
	Seconds    float64 `json:"seconds"`

	Expected   uint64  `json:"expected"`
	Delivered  uint64  `json:"delivered"`
	Lost       uint64  `json:"lost"`
	Duplicated uint64  `json:"duplicated"`
	Reordered  uint64  `json:"reordered"`
	Corrupted  uint64  `json:"corrupted"`
	Foreign    uint64  `json:"foreign"`
	Closed     int     `json:"closed"`      // connections that the server ended
	Violations int     `json:"violations"`  // connections on which the server broke the protocol
	WarmupLost uint64  `json:"warmup_lost"` // before the measurement, not in Lost
	Orders     int     `json:"orders"`      // most different orders that the clients of one room saw; 1 is a total order
	Backlog    int     `json:"backlog"`     // open loop: messages not everywhere when the last one was due
	Sustained  bool    `json:"sustained"`   // open loop: the backlog was less than a second's messages
	Timeouts   int     `json:"timeouts"`    // messages that a publisher went on without
	Reach      float64 `json:"reach"`       // Delivered ÷ Expected

	DeliveriesPerSecond float64   `json:"deliveries_per_second"`
	Latency             Quantiles `json:"latency_us"`
	Skew                Quantiles `json:"skew_us"`

	Connect struct {
		Seconds   float64 `json:"seconds"`
		PerSecond float64 `json:"per_second"`
		Failed    int     `json:"failed"`
	} `json:"connect"`
	Server *ServerCost `json:"server,omitempty"`
	Client struct {
		CPUPerDelivery float64 `json:"cpu_us_per_delivery"`
		Busy           float64 `json:"busy"` // share of its loops' time that the tool computed
		Saturated      bool    `json:"saturated"`
	} `json:"client"`
	Crowd        Crowd    `json:"crowd"`
	Explanations []string `json:"explanations,omitempty"` // of what happened to connections
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
	RSSPerStalled       float64            `json:"rss_bytes_per_stalled"` // growth from idle to the end, for each stalled client
	Said                map[string]float64 `json:"said,omitempty"`        // numbers of its last log line
}

// busyMax is the share of its loops' time from which on the tool was the bottleneck.
const busyMax = 0.9

// result adds up what the loops found. They have ended.
func (r *run) result(p *phases) *Result {
	res := &Result{
		Target: r.target.url, Clients: r.cfg.Clients, Publishers: r.cfg.Publishers, Rooms: r.cfg.Rooms,
		Size: r.cfg.Size.largest(), Sizes: r.cfg.Size.String(), Window: r.cfg.Window, Rate: r.cfg.Rate, Seconds: round(p.seconds, 6), WarmupLost: p.warmupLost,
	}
	var sum counts
	var all faults
	latency, skew := newHistogram(), newHistogram()
	for _, w := range r.workers {
		latency.merge(w.latency)
		skew.merge(w.skew)
		all.merge(&w.faults)
		res.Timeouts += w.timeouts
		res.Lost += w.lost()
		for i, l := range r.lanes {
			if l.home == w {
				res.Messages += uint64(l.sent.Load() - w.warm[i])
				res.Backlog += max(0, l.backlog)
			}
		}
		res.Crowd.add(&w.crowd)
		if w.stormAt > 0 {
			res.Crowd.StormSeconds = max(res.Crowd.StormSeconds, round((w.backAt-w.stormAt).Seconds(), 6))
		}
		for _, c := range w.clients {
			res.Expected += c.expected()
			counts := c.ledger.counts
			switch c.kind {
			case slow:
				res.Crowd.SlowDelivered += counts.Delivered
				counts.Delivered = 0
			case guest:
				res.Crowd.GuestsHeard += counts.Delivered
				counts.Delivered = 0
			}
			sum.add(&counts)
		}
	}
	res.Delivered, res.Duplicated, res.Reordered = sum.Delivered, sum.Duplicated, sum.Reordered
	res.Corrupted, res.Foreign = sum.Corrupted, sum.Foreign
	res.Closed, res.Violations, res.Connect.Failed = all.count[faultClosed], all.count[faultProtocol], all.count[faultConnect]
	for _, why := range all.explain() {
		res.Explanations = append(res.Explanations, fmt.Sprintf("%d × %s", all.words[why], why))
	}
	res.Orders = r.orders()
	crowd := r.cfg.crowdSizes()
	res.Crowd.Stalled, res.Crowd.Slow, res.Crowd.Guests = crowd[stalled], crowd[slow], crowd[guest]
	res.Sustained = float64(res.Backlog) <= r.cfg.Rate
	if res.Expected > 0 {
		res.Reach = round(float64(res.Delivered)/float64(res.Expected), 9)
	}
	res.DeliveriesPerSecond = round(float64(res.Delivered)/max(p.seconds, 1e-9), 1)
	res.Latency, res.Skew = latency.quantiles(), skew.quantiles()
	own := p.self[1] - p.self[0]
	res.Client.CPUPerDelivery = perDelivery(own, res.Delivered)
	res.Client.Busy = round(own.Seconds()/max(p.seconds, 1e-9)/float64(len(r.workers)), 3)
	res.Client.Saturated = res.Client.Busy > busyMax
	return res
}

// expected is how many messages of the measured phase the client should have got.
func (c *client) expected() (n uint64) {
	if !c.wasJoined || c.kind != reader {
		return 0
	}
	for _, l := range c.room.lanes {
		if !l.isUnheardBy(c) {
			n += uint64(l.sent.Load() - c.w.warm[l.id])
		}
	}
	return n
}

// orders is the number of different orders in which the clients of a room saw its messages, the largest of all rooms.
// Those that missed one cannot be compared.
func (r *run) orders() (most int) {
	seen := make(map[*room]map[uint64]struct{})
	for _, w := range r.workers {
		for _, c := range w.clients {
			if !c.wasJoined || c.kind != reader || !c.ledger.clean || r.cfg.NoEcho {
				continue
			}
			if seen[c.room] == nil {
				seen[c.room] = make(map[uint64]struct{})
			}
			seen[c.room][c.ledger.order] = struct{}{}
			most = max(most, len(seen[c.room]))
		}
	}
	return most
}

// addServer works out what the observations of the server's processes mean.
func (res *Result) addServer(before observation, p *phases) {
	if !p.from.ok || !p.to.ok {
		return
	}
	joined := float64(max(1, res.Clients-res.Connect.Failed))
	spent := p.to.cpu - p.from.cpu
	res.Server = &ServerCost{
		CPUPerDelivery:      perDelivery(spent, res.Delivered),
		CPUPerConnection:    round((p.idle.cpu-before.cpu).Seconds()*1e6/joined, 3),
		CPUSeconds:          round(spent.Seconds(), 6),
		SwitchesPerSecond:   round(float64(p.to.switches-p.from.switches)/max(p.seconds, 1e-9), 1),
		RSS:                 p.to.rss,
		RSSPerConnection:    round(float64(p.idle.rss-before.rss)/joined, 1),
		LoadedPerConnection: round(float64(p.to.rss-before.rss)/joined, 1),
	}
}

// addStalled works out what each stalled client made the server's memory grow by.
func (res *Result) addStalled(p *phases) {
	if res.Server != nil && res.Crowd.Stalled > 0 {
		res.Server.RSSPerStalled = round(float64(p.to.rss-p.idle.rss)/float64(res.Crowd.Stalled), 1)
	}
}

func perDelivery(cpu time.Duration, deliveries uint64) float64 {
	return round(cpu.Seconds()*1e6/float64(max(1, deliveries)), 4)
}

func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// faulty says whether the server failed its clients.
func (res *Result) faulty() bool {
	return res.Lost+res.Duplicated+res.Reordered+res.Corrupted+res.WarmupLost > 0 ||
		res.Closed+res.Violations+res.Connect.Failed > 0
}

func (res *Result) writeJSON(path string) error {
	b, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// print writes the table for people.
func (res *Result) print(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	row("clients", "%d joined, %d failed, %.0f a second", res.Clients-res.Connect.Failed, res.Connect.Failed, res.Connect.PerSecond)
	row("messages", "%d of %s bytes in %.3f s", res.Messages, res.Sizes, res.Seconds)
	row("deliveries", "%d of %d, %.0f a second", res.Delivered, res.Expected, res.DeliveriesPerSecond)
	row("latency", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", res.Latency.words()...)
	row("skew", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", res.Skew.words()...)
	row("faults", "%d lost, %d duplicated, %d reordered, %d corrupted, %d foreign, %d closed, %d violations",
		res.Lost, res.Duplicated, res.Reordered, res.Corrupted, res.Foreign, res.Closed, res.Violations)
	if c := res.Crowd; c.Stalled+c.Slow+c.Guests > 0 {
		row("crowd", "%d stalled (%d closed by the server), %d slow (%d closed, %d deliveries), %d guests (left %d times, returned %d)",
			c.Stalled, c.StalledClosed, c.Slow, c.SlowClosed, c.SlowDelivered, c.Guests, c.Left, c.Returned)
		if c.StormSeconds > 0 {
			row("storm", "all were back after %.2f s", c.StormSeconds)
		}
	}
	if res.Rate > 0 {
		row("schedule", "%g messages a second, %s; %d messages behind at the end", res.Rate,
			map[bool]string{true: "sustained", false: "NOT SUSTAINED"}[res.Sustained], res.Backlog)
	}
	if res.Orders > 1 {
		row("order", "clients of one room saw %d different orders; each publisher's own order is judged above", res.Orders)
	}
	if s := res.Server; s != nil {
		row("server", "%.3f µs of CPU per delivery, %.1f µs per connection, %.1f MB resident, %.0f bytes per idle connection",
			s.CPUPerDelivery, s.CPUPerConnection, float64(s.RSS)/1e6, s.RSSPerConnection)
		if res.Crowd.Stalled > 0 {
			row("", "%.0f bytes of growth per stalled client", s.RSSPerStalled)
		}
		if m := s.Said["deliveries"] / s.Said["writes"]; m > 0 {
			row("", "%.2f messages per write, by its own count", m)
		}
	}
	row("load test", "%.3f µs of CPU per delivery, %.0f %% busy", res.Client.CPUPerDelivery, 100*res.Client.Busy)
	for _, line := range res.warnings() {
		fmt.Fprintln(w, line)
	}
}

func (res *Result) warnings() (lines []string) {
	if res.Client.Saturated {
		lines = append(lines, "warning: the load test itself was the bottleneck; latency and rate are its own. Try --loops, or fewer clients.")
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
func (q Quantiles) words() []any {
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
