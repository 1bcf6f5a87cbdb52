package run

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/servertest"
)

// withEvents is a small load half of which reads events.
func withEvents(turn func(*load.Load)) *load.Load {
	cfg := testLoad()
	cfg.Clients, cfg.SSE, cfg.LossTimeout = 20, 10, 10*time.Second
	if turn != nil {
		turn(cfg)
	}
	return cfg
}

func TestReadersOfEventsAreHeldToEveryMessage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		epoch string
		turn  func(*load.Load)
	}{
		{"with ids", "epoch", nil},
		{"without ids", "", nil},
		{"one at a time", "epoch", func(c *load.Load) { c.Window = 1 }},
		{"binary", "epoch", func(c *load.Load) { c.Binary = true }},
		{"several publishers", "epoch", func(c *load.Load) { c.Publishers = 5 }},
		{"large", "epoch", func(c *load.Load) { c.Size = load.FixedSize(200_000); c.Messages = 20 }},
		{"with a warm-up, on one loop", "epoch", func(c *load.Load) { c.Warmup, c.Loops = 10, 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := withEvents(test.turn)
			res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Events: &servertest.Events{Epoch: test.epoch}}))
			if got := faultsOf(res); got != (seenFaults{}) || res.Faulty() || res.Timeouts > 0 || res.Orders != 1 {
				t.Errorf("faults %+v, %d misplaced, %d orders, %d timeouts: %v", got, res.Misplaced, res.Orders, res.Timeouts, res.Explanations)
			}
			want := uint64(cfg.Messages * 20)
			if res.Expected != want || res.Delivered != want || res.Events.Readers != 10 || res.Latency.Max <= 0 {
				t.Errorf("%d of %d delivered, want %d", res.Delivered, res.Expected, want)
			}
		})
	}
}

// hits is a Mangle that does something to every hundredth of 200 events of one reader.
func hits(do func(message int, event string) string) func(int, int, string) string {
	return func(reader, message int, event string) string {
		if reader == 3 && message%100 == 50 {
			return do(message, event)
		}
		return event
	}
}

func TestEachFaultInEventsIsCountedOnceAndUnderItsName(t *testing.T) {
	t.Parallel()
	server := func() *servertest.Events { return &servertest.Events{Epoch: "epoch"} }
	var held string
	for _, test := range []struct {
		name      string
		mangle    func(v *servertest.Events) func(int, int, string) string
		want      seenFaults
		misplaced uint64
	}{
		{"lost", func(*servertest.Events) func(int, int, string) string {
			return hits(func(int, string) string { return ": nothing\n\n" })
		}, seenFaults{lost: 2}, 0},
		{"duplicated", func(*servertest.Events) func(int, int, string) string {
			return hits(func(_ int, event string) string { return event + event })
		}, seenFaults{duplicated: 2}, 0},
		{"duplicated under the next id", func(v *servertest.Events) func(int, int, string) string {
			return hits(func(message int, event string) string {
				return event + strings.Replace(event, v.ID(message+1), v.ID(message+2), 1)
			})
		}, seenFaults{duplicated: 2}, 2}, // The next one has it, too.
		{"reordered", func(*servertest.Events) func(int, int, string) string {
			return func(reader, message int, event string) string {
				switch {
				case reader == 3 && message%100 == 50:
					held = event
					return ": later\n\n"
				case reader == 3 && message%100 == 51:
					return event + held
				}
				return event
			}
		}, seenFaults{reordered: 2}, 0},
		{"corrupted", func(*servertest.Events) func(int, int, string) string {
			return hits(func(_ int, event string) string {
				return event[:len(event)-5] + string(event[len(event)-5]^1) + event[len(event)-4:]
			})
		}, seenFaults{corrupted: 2}, 0},
		{"foreign", func(*servertest.Events) func(int, int, string) string {
			return hits(func(message int, event string) string {
				return strings.Replace(event, "\ndata: ", "\ndata: hello\ndata: ", 1)
			})
		}, seenFaults{foreign: 2, lost: 2}, 0},
		{"an id twice", func(v *servertest.Events) func(int, int, string) string {
			return hits(func(message int, event string) string {
				return strings.Replace(event, v.ID(message+1), v.ID(message), 1)
			})
		}, seenFaults{}, 2 + 2}, // And the one behind it leaves one out.
		{"an id of another epoch", func(v *servertest.Events) func(int, int, string) string {
			return hits(func(_ int, event string) string { return strings.Replace(event, v.Epoch, "other", 1) })
		}, seenFaults{}, 2 + 2}, // And back.
		{"no id", func(v *servertest.Events) func(int, int, string) string {
			return hits(func(message int, event string) string {
				return strings.Replace(event, "id: "+v.ID(message+1)+"\n", "", 1)
			})
		}, seenFaults{}, 2},
		{"an id that is none", func(v *servertest.Events) func(int, int, string) string {
			return hits(func(message int, event string) string { return strings.Replace(event, v.ID(message+1), "x", 1) })
		}, seenFaults{}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := server()
			v.Mangle = test.mangle(v)
			cfg := withEvents(func(c *load.Load) {
				if test.want.lost > 0 {
					c.LossTimeout = 3 * time.Second // It is waited for.
				}
			})
			res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Events: v}))
			if got := faultsOf(res); got != test.want || res.Misplaced != test.misplaced {
				t.Errorf("counted %+v and %d misplaced, want %+v and %d\n%v", got, res.Misplaced, test.want, test.misplaced, res.Explanations)
			}
			if res.Expected != 4000 || res.Delivered+res.Lost+res.Corrupted != 4000 || !res.Faulty() {
				t.Errorf("%d delivered + %d lost + %d corrupted of %d; faulty: %v", res.Delivered, res.Lost, res.Corrupted, res.Expected, res.Faulty())
			}
		})
	}
}

func TestStreamsThatDoNotOpenOrEndAreCounted(t *testing.T) {
	t.Parallel()
	v := &servertest.Events{Epoch: "epoch", Refuse: func(reader int) bool { return reader < 2 }}
	res := loadServer(t, withEvents(nil), servertest.Start(t, &servertest.Server{Events: v}))
	if got, want := faultsOf(res), (seenFaults{failed: 2}); got != want || !strings.Contains(strings.Join(res.Explanations, " "), "404 Not Found") {
		t.Errorf("counted %+v, want %+v: %v", got, want, res.Explanations)
	}
	v = &servertest.Events{Epoch: "epoch", HangUp: func(reader, message int) bool { return reader == 2 && message == 150 }}
	v.Mangle = func(reader, message int, event string) string {
		if reader == 4 && message == 150 {
			return "event: close\ndata: {\"code\":4012,\"reason\":\"enough\"}\n\n"
		}
		return event
	}
	res = loadServer(t, withEvents(nil), servertest.Start(t, &servertest.Server{Events: v}))
	if got, want := faultsOf(res), (seenFaults{closed: 2, lost: 100}); got != want || res.Timeouts > 0 || !strings.Contains(strings.Join(res.Explanations, " "), "enough") {
		t.Errorf("counted %+v, want %+v, %d timeouts: %v", got, want, res.Timeouts, res.Explanations)
	}
}

// A storm takes clients at the 200th of 400 messages behind a warm-up, of which all have everything
// when it ends. stormRate leaves them time to have something of those as well.
const (
	stormRate   = 250
	stormWarmup = 50
)

// inStorm makes the server wait, however busy the machine is: for so many of its twenty clients to
// have asked to come back before the 250th message, and before the 350th for them to be answered,
// if they read events.
func inStorm(t *testing.T, s *servertest.Server, returns int) *servertest.Server {
	s.Before = func(message int) {
		switch {
		case message == stormWarmup+249:
			s.AwaitRequests(t, 20+returns)
		case message == stormWarmup+350 && s.Events != nil:
			s.AwaitStreams(t, stormWarmup+250)
		}
	}
	return s
}

// Nobody who returns is answered before 300 of 400 messages, and all drop at 200.
func TestStormThatResumesEndsWithEveryMessageOnceOrAReset(t *testing.T) {
	t.Parallel()
	const resumers = 5
	returned := func(do func(event string) string) func(int, int, string) string {
		return func(reader, message int, event string) string {
			if reader >= 10 && message == stormWarmup+250 {
				return do(event)
			}
			return event
		}
	}
	reset := func(id, data string) string { return fmt.Sprintf("event: reset\nid: %s\ndata: {%s}\n\n", id, data) }
	epoch := &servertest.Events{Epoch: "epoch"}
	for _, test := range []struct {
		name           string
		begin          func(reader, asked, end int) (int, string)
		mangle         func(reader, message int, event string) string
		want           seenFaults
		resets, misses uint64 // of each resumer
	}{
		{name: "recovered"},
		{name: "lost on the way", mangle: returned(func(string) string { return ":\n\n" }), want: seenFaults{lost: resumers}},
		{name: "doubled on the way", mangle: returned(func(event string) string { return event + event }), want: seenFaults{duplicated: resumers}},
		{name: "goes on one behind", begin: func(_, asked, _ int) (int, string) { return asked + 1, "" }, want: seenFaults{lost: resumers}},
		{name: "goes on one before", begin: func(_, asked, _ int) (int, string) { return asked - 1, "" }, want: seenFaults{duplicated: resumers}},
		{
			name: "a reset", resets: 1, misses: 7,
			begin: func(_, asked, _ int) (int, string) {
				return asked + 7, reset(epoch.ID(asked+7), `"reason":"too_old"`)
			},
		},
		{
			name: "a reset that names its messages and no position", resets: 1, misses: 7,
			begin: func(_, asked, _ int) (int, string) { return asked + 7, reset("", `"reason":"overrun","missed":7`) },
		},
		{
			name: "a reset of nothing", resets: 1,
			begin: func(_, asked, _ int) (int, string) {
				return asked, reset(epoch.ID(asked), `"reason":"why not"`)
			},
		},
		{
			name: "a reset of less than is missing", resets: 1, misses: 7, want: seenFaults{lost: 2 * resumers},
			begin: func(_, asked, _ int) (int, string) {
				return asked + 9, reset(epoch.ID(asked+7), `"reason":"too_old"`)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // It waits more than it works.
			res := rideOut(t, test.begin, test.mangle, resumers, test.want.lost > 0)
			if got := faultsOf(res); got != test.want || res.Misplaced > 0 || res.Faulty() != (test.want != seenFaults{}) {
				t.Errorf("counted %+v and %d misplaced, want %+v\n%v", got, res.Misplaced, test.want, res.Explanations)
			}
			if c := res.Crowd; c.Resumers != resumers || c.Left != resumers || c.Returned != resumers || c.StormSeconds <= 0 {
				t.Errorf("crowd %+v", c)
			}
			if isCaughtUp := res.Crowd.CaughtUpSeconds >= res.Crowd.StormSeconds; res.Lost == 0 && !isCaughtUp {
				t.Errorf("back after %v s, and caught up after %v", res.Crowd.StormSeconds, res.Crowd.CaughtUpSeconds)
			}
			if e := res.Positions; e.Resets != resumers*test.resets || e.Excused != resumers*test.misses {
				t.Errorf("%d resets of %d messages, want %d of %d", e.Resets, e.Excused, resumers*test.resets, resumers*test.misses)
			}
			if want := 400*20 - resumers*test.misses; res.Expected != want || res.Delivered+res.Lost != want {
				t.Errorf("%d delivered + %d lost of %d, want %d", res.Delivered, res.Lost, res.Expected, want)
			}
		})
	}
}

// rideOut makes a run with a storm of so many readers. Those that a busy machine takes before they
// had anything behind the warm-up go back into that, of which nothing is counted: such a run says
// nothing and is made again.
func rideOut(
	t *testing.T, begin func(reader, asked, end int) (int, string), mangle func(reader, message int, event string) string, resumers int, mayLose bool,
) (res *report.Result) {
	t.Helper()
	for range 5 {
		var early atomic.Int64
		v := &servertest.Events{Epoch: "epoch", HoldUntil: stormWarmup + 300, Mangle: mangle}
		v.Begin = func(reader, asked, end int) (from int, event string) {
			if asked <= stormWarmup {
				early.Add(1)
			}
			if begin == nil {
				return asked, ""
			}
			return begin(reader, asked, end)
		}
		cfg := withEvents(func(c *load.Load) {
			c.Storm, c.Resume, c.Messages = 50, true, 400
			if mayLose {
				c.LossTimeout = 3 * time.Second // It is waited for.
			}
			c.Rate, c.Warmup = stormRate, stormWarmup
		})
		res = loadServer(t, cfg, servertest.Start(t, inStorm(t, &servertest.Server{Events: v}, resumers)))
		if early.Load() == 0 {
			break
		}
		t.Logf("%d were taken before they had anything", early.Load())
	}
	return res
}

// One of a new epoch has lost all that there was before, and nobody can say how much that is.
func TestResetOfAnotherEpochExcusesWhatHadBeenSent(t *testing.T) {
	t.Parallel()
	v := &servertest.Events{Epoch: "epoch", HoldUntil: stormWarmup + 300}
	v.Begin = func(_, _, end int) (int, string) {
		return end, "event: reset\nid: other:00000000000000000000\ndata: {\"reason\":\"epoch\"}\n\n"
	}
	v.Mangle = func(reader, message int, event string) string {
		if reader >= 10 {
			return strings.Replace(event, "id: epoch:", "id: other:1", 1) // Far on, once; then in order.
		}
		return event
	}
	cfg := withEvents(func(c *load.Load) {
		c.Storm, c.Resume, c.Messages, c.Rate, c.Warmup = 50, true, 400, stormRate, stormWarmup
	})
	res := loadServer(t, cfg, servertest.Start(t, inStorm(t, &servertest.Server{Events: v}, 5)))
	if got := faultsOf(res); got != (seenFaults{}) || res.Positions.Resets != 5 || res.Positions.Excused < 5*50 || res.Delivered != res.Expected {
		t.Errorf("counted %+v, events %+v, %d of %d", got, res.Positions, res.Delivered, res.Expected)
	}
	if res.Misplaced == 0 {
		t.Error("ids that do not follow that of the reset are taken for good")
	}
}

// The same storm without --resume: readers miss what was sent meanwhile, which is no fault.
func TestStormOfEventsWithoutResume(t *testing.T) {
	t.Parallel()
	cfg := withEvents(func(c *load.Load) { c.Storm, c.Messages, c.Rate, c.Warmup = 50, 400, stormRate, stormWarmup })
	s := inStorm(t, &servertest.Server{Events: &servertest.Events{Epoch: "epoch"}}, 5)
	res := loadServer(t, cfg, servertest.Start(t, s))
	if res.Faulty() || res.Crowd.Returned != 5 || res.Crowd.Guests != 5 || res.Crowd.GuestsHeard == 0 || res.Expected != 400*15 {
		t.Errorf("faults %+v, %d misplaced, crowd %+v, %d expected", faultsOf(res), res.Misplaced, res.Crowd, res.Expected)
	}
}

func TestResumeWithoutPositionsIsRefused(t *testing.T) {
	t.Parallel()
	cfg := withEvents(func(c *load.Load) { c.Storm, c.Resume, c.LossTimeout = 50, true, 300*time.Millisecond })
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	url := servertest.Start(t, &servertest.Server{Events: &servertest.Events{}})
	_, err := Once(t.Context(), cfg, []string{url}, nil, nil, &progress.Display{})
	if usage := (load.UsageError{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "no positions") {
		t.Errorf("%v", err)
	}
}
