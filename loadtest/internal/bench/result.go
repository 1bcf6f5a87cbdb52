package bench

import (
	"encoding/json"
	"os"
	"slices"

	"sluice/loadtest/internal/compare"
	"sluice/loadtest/internal/report"
)

// A result is all that was measured: the JSON of --json.
type result struct {
	Machine machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Small   bool      `json:"small"` // the figures mean nothing
	Cells   []outcome `json:"cells"`
}

// An outcome is what was found in a cell.
type outcome struct {
	Name    string        `json:"name"`
	About   string        `json:"about"`
	Unit    string        `json:"unit"`
	LeftOut string        `json:"left_out,omitempty"` // why there are no figures
	Failed  bool          `json:"failed"`             // a gateway failed its clients, or the cell is left out for no fault of this machine
	Sides   []sideOutcome `json:"sides,omitempty"`
}

// A sideOutcome is what one server had in a cell. The first side is what the others are held to;
// the second is the same once more, whose ratio is the noise.
type sideOutcome struct {
	Name                string    `json:"name"`
	Figures             []float64 `json:"figures"` // one a round, in the cell's unit
	Median              float64   `json:"median"`
	Ratio               *spread   `json:"ratio,omitempty"` // to the first side in the same round
	DeliveriesPerSecond float64   `json:"deliveries_per_second"`
	LatencyP99          float64   `json:"latency_p99_us"`
	FaultyRounds        int       `json:"faulty_rounds"` // in which it failed its clients

	rates, latencies []float64
}

// A spread is a ratio over all rounds.
type spread struct {
	Median  float64 `json:"median"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
}

func newOutcome(c *cell) outcome {
	o := outcome{Name: c.name, About: c.about, Unit: c.figure.unit}
	for i := range c.sides {
		o.Sides = append(o.Sides, sideOutcome{Name: c.sides[i].name})
	}
	return o
}

// leaveOut is the outcome without figures, and why.
func (o *outcome) leaveOut(why error, isFailure bool) outcome {
	o.LeftOut, o.Failed, o.Sides = why.Error(), isFailure, nil
	return *o
}

// add takes what one side had in a round.
func (o *outcome) add(which int, f figure, res *report.Result) {
	s := &o.Sides[which]
	s.Figures = append(s.Figures, f.of(res))
	s.rates = append(s.rates, res.DeliveriesPerSecond)
	s.latencies = append(s.latencies, res.Latency.P99)
	if res.Faulty() {
		s.FaultyRounds++
	}
}

// finish works out medians and ratios when all rounds were measured.
func (o *outcome) finish(c *cell) {
	base := o.Sides[0].Figures
	for i := range o.Sides {
		s := &o.Sides[i]
		s.Median, s.DeliveriesPerSecond, s.LatencyP99 = compare.Median(s.Figures), compare.Median(s.rates), compare.Median(s.latencies)
		if i > 0 {
			s.Ratio = ratio(s.Figures, base)
		}
		o.Failed = o.Failed || s.FaultyRounds > 0 && c.sides[i].program == "gateway"
	}
}

// ratio compares the figures of two sides round by round; nil where one of them has nothing to
// compare: memory may not have grown.
func ratio(of, to []float64) *spread {
	var all []float64
	for round := range to {
		if of[round] <= 0 || to[round] <= 0 {
			return nil
		}
		all = append(all, of[round]/to[round])
	}
	return &spread{compare.Median(all), slices.Min(all), slices.Max(all)}
}

// roundsToJudge are the fewest whose lowest and highest say how far chance goes.
const roundsToJudge = 3

// verdict says whether a ratio tells anything: even is one whose rounds overlap with those of
// equals.
func (s *spread) verdict(noise *spread, rounds int) string {
	switch {
	case noise == nil || rounds < roundsToJudge:
		return "-"
	case s.Highest < min(noise.Lowest, 1):
		return "below"
	case s.Lowest > max(noise.Highest, 1):
		return "above"
	}
	return "even"
}

func (r *result) writeJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
