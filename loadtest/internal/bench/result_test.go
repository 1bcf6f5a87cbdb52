package bench

import (
	"errors"
	"strings"
	"testing"

	"sluice/loadtest/internal/report"
)

// outcomeOf is that of a cell whose sides had these figures, one list a side.
func outcomeOf(c *cell, figures ...[]float64) outcome {
	o := newOutcome(c)
	for i, side := range figures {
		for _, n := range side {
			o.add(i, c.figure, &report.Result{Server: &report.ServerCost{CPUPerDelivery: n}})
		}
	}
	o.finish(c)
	return o
}

func testCell() *cell {
	return &cell{name: "a cell", figure: perDelivery, sides: []side{
		{name: "floor", program: "floor"},
		{name: "floor (again)", program: "floor"},
		{name: "gateway", program: "gateway"},
	}}
}

func TestRatiosAreJudgedByTheNoise(t *testing.T) {
	floor, again := []float64{10, 20, 40}, []float64{9, 22, 40} // 0.9, 1.1 and 1 times
	for _, test := range []struct {
		gateway                 []float64
		median, lowest, highest string
		verdict                 string
	}{
		{[]float64{8, 16, 20}, "0.80", "0.50", "0.80", "below"},
		{[]float64{9, 16, 20}, "0.80", "0.50", "0.90", "even"},
		{[]float64{12, 22, 60}, "1.20", "1.10", "1.50", "even"},
		{[]float64{12, 23, 60}, "1.20", "1.15", "1.50", "above"},
	} {
		o := outcomeOf(testCell(), floor, again, test.gateway)
		got := strings.Join(o.row(2, 3)[4:8], " ")
		if want := strings.Join([]string{test.median, test.lowest, test.highest, test.verdict}, " "); got != want {
			t.Errorf("%v: %s, want %s", test.gateway, got, want)
		}
		if got := strings.Join(o.row(1, 3)[4:8], " "); got != "1.00 0.90 1.10 noise" {
			t.Errorf("noise: %s", got)
		}
		if got := o.row(2, 2)[7]; got != "-" {
			t.Errorf("two rounds are judged: %s", got)
		}
	}
}

// Memory that did not grow has no ratio, and JSON no number for it.
func TestNothingHasNoRatio(t *testing.T) {
	o := outcomeOf(testCell(), []float64{0, 1}, []float64{1, 1}, []float64{1, -1})
	for i := 1; i < 3; i++ {
		if o.Sides[i].Ratio != nil || strings.Join(o.row(i, 2)[4:8], "") != "----" {
			t.Errorf("side %d: %v", i, o.row(i, 2))
		}
	}
}

func TestOnlyTheGatewaysFaultsFailTheBenchmark(t *testing.T) {
	for which, want := range []bool{false, false, true} {
		c := testCell()
		o := outcomeOf(c, []float64{1}, []float64{1}, []float64{1})
		o.add(which, c.figure, &report.Result{Server: &report.ServerCost{CPUPerDelivery: 1}, Lost: 3})
		o.Sides[0].Figures = o.Sides[0].Figures[:1]
		o.finish(c)
		if row := o.row(which, 2); o.Failed != want || row[len(row)-1] != "in 1 of 2 rounds" {
			t.Errorf("side %d: failed %t, %v", which, o.Failed, row)
		}
	}
	o := newOutcome(testCell())
	r := result{Cells: []outcome{o.leaveOut(errors.New("no room"), true)}}
	var text strings.Builder
	r.print(&text)
	if !strings.Contains(text.String(), "\na cell is left out: no room\n") || !r.Cells[0].Failed {
		t.Errorf("%v:\n%s", r.Cells[0], text.String())
	}
}

func TestSmallLoadsAreWhatTheyWereInSmall(t *testing.T) {
	for _, c := range cells() {
		for _, s := range (&Bench{Small: true}).fit(c).sides {
			if err := s.load.Prepare(); err != nil {
				t.Errorf("%s, %s: %v", c.name, s.name, err)
			}
			if n := s.load.Clients; n > 100 || n < 4 || s.load.Messages > 40 {
				t.Errorf("%s, %s: %d clients, %d messages", c.name, s.name, n, s.load.Messages)
			}
		}
		for i, s := range c.sides {
			if s.load.Clients < 20 || s.load.Rooms > 1 && s.load.Clients/s.load.Rooms != 2 {
				t.Errorf("%s, side %d: %d clients in %d rooms", c.name, i, s.load.Clients, s.load.Rooms)
			}
		}
	}
}
