package run

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/servertest"
)

// loadSubscribers makes a small run in the Centrifuge protocol.
func loadSubscribers(t *testing.T, v *servertest.Channels, turn func(*load.Load)) *report.Result {
	t.Helper()
	return loadSubscribersOf(t, &servertest.Server{Channels: v}, turn)
}

func loadSubscribersOf(t *testing.T, s *servertest.Server, turn func(*load.Load)) *report.Result {
	t.Helper()
	cfg := testLoad()
	cfg.Protocol, cfg.LossTimeout = load.Centrifuge, 10*time.Second
	if turn != nil {
		turn(cfg)
	}
	return loadServer(t, cfg, servertest.Start(t, s))
}

func TestSubscribersAreHeldToEveryMessageOfEveryRoom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		v    servertest.Channels
		turn func(*load.Load)
		want uint64
	}{
		{"with positions", servertest.Channels{Epoch: "epoch"}, nil, 200 * 20},
		{"without", servertest.Channels{}, nil, 200 * 20},
		{"with pings", servertest.Channels{Pings: true}, nil, 200 * 20},
		{"several publishers", servertest.Channels{Epoch: "epoch"}, func(c *load.Load) { c.Publishers = 5 }, 200 * 20},
		{"fragmented", servertest.Channels{Epoch: "epoch"}, func(c *load.Load) { c.Fragmented = true }, 200 * 20},
		{"in protobuf", servertest.Channels{Epoch: "epoch", IsProtobuf: true, Pings: true}, func(c *load.Load) {
			c.Format, c.Fragmented = load.Protobuf, true
		}, 200 * 20},
		{"three rooms of five each, in protobuf", servertest.Channels{IsProtobuf: true}, func(c *load.Load) {
			c.Format, c.Rooms, c.RoomsPerClient, c.Publishers, c.Warmup = load.Protobuf, 5, 3, 5, 10
		}, 5 * 40 * 12},
		// Each of five rooms has 20 × 3 ÷ 5 members and 40 messages.
		{"three rooms of five each", servertest.Channels{Epoch: "epoch"}, func(c *load.Load) {
			c.Rooms, c.RoomsPerClient, c.Publishers, c.Warmup = 5, 3, 5, 10
		}, 5 * 40 * 12},
		{"many rooms, in two frames", servertest.Channels{Epoch: "epoch"}, func(c *load.Load) {
			c.Clients, c.Rooms, c.RoomsPerClient, c.Publishers, c.Messages = 400, 400, 400, 2, 4
			c.Loops = 1
		}, 4 * 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &servertest.Server{Channels: &test.v}
			res := loadSubscribersOf(t, s, test.turn)
			s.Await(t)
			if owed := s.Owed(); owed > 100 {
				t.Errorf("%d pings were not answered", owed)
			}
			if got := faultsOf(res); got != (seenFaults{}) || res.Faulty() || res.Timeouts > 0 {
				t.Errorf("faults %+v, %d misplaced, %d timeouts: %v", got, res.Misplaced, res.Timeouts, res.Explanations)
			}
			if res.Expected != test.want || res.Delivered != test.want {
				t.Errorf("%d of %d delivered, want %d", res.Delivered, res.Expected, test.want)
			}
		})
	}
}

func TestEachFaultOfASubscriptionIsCountedOnceAndUnderItsName(t *testing.T) {
	t.Parallel()
	var held string
	for _, test := range []struct {
		name      string
		mangle    func(message int, push string) string
		want      seenFaults
		misplaced uint64

		isProtobuf bool
	}{
		{"lost", func(message int, push string) string { return when(message == 50, "", push) }, seenFaults{lost: 1}, 0, false},
		{"duplicated", func(message int, push string) string { return when(message == 50, push+"\n"+push, push) }, seenFaults{duplicated: 1}, 0, false},
		{"reordered", func(message int, push string) string {
			switch message {
			case 50:
				held = push
				return ""
			case 51:
				return push + "\n" + held
			}
			return push
		}, seenFaults{reordered: 1}, 0, false},
		{"corrupted", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, "fox", "fax", 1), push)
		}, seenFaults{corrupted: 1}, 0, false},
		{"of another room", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, "room-0", "room-7", 1), push)
		}, seenFaults{lost: 1, foreign: 1}, 0, false},
		{"a position twice", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, `"offset":51`, `"offset":50`, 1), push)
		}, seenFaults{}, 2, false}, // And the next one leaves one out.
		{"no position", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, `,"offset":51`, "", 1), push)
		}, seenFaults{}, 1, false},
		{"no protocol", func(message int, push string) string { return when(message == 150, `{"push":`, push) }, seenFaults{lost: 50, violations: 1}, 0, false},
		{"disconnected", func(message int, push string) string {
			return when(message == 150, `{"push":{"disconnect":{"code":3503,"reason":"force"}}}`, push)
		}, seenFaults{lost: 50, closed: 1}, 0, false},
		{"unsubscribed", func(message int, push string) string {
			return when(message == 150, `{"push":{"channel":"room-0","unsubscribe":{"code":2000,"reason":"go"}}}`, push)
		}, seenFaults{lost: 50, closed: 1}, 0, false},
		{"duplicated in protobuf", func(message int, push string) string { return when(message == 50, push+"\n"+push, push) }, seenFaults{duplicated: 1}, 0, true},
		{"corrupted in protobuf", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, "fox", "fax", 1), push)
		}, seenFaults{corrupted: 1}, 0, true},
		{"of another room in protobuf", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, "room-0", "room-7", 1), push)
		}, seenFaults{lost: 1, foreign: 1}, 0, true},
		{"a position twice in protobuf", func(message int, push string) string {
			return when(message == 50, strings.Replace(push, `"offset":51`, `"offset":50`, 1), push)
		}, seenFaults{}, 2, true},
		{"no protobuf", func(message int, push string) string { return when(message == 150, `{"push":`, push) }, seenFaults{lost: 50, violations: 1}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := &servertest.Channels{Epoch: "epoch"}
			s := &servertest.Server{Channels: v}
			v.Mangle = func(conn int, _ string, message int, push string) string {
				if (conn-s.Sender+20)%20 == 7 { // Never the publisher, which need not have come first.
					return test.mangle(message, push)
				}
				return push
			}
			cfg := testLoad()
			cfg.Protocol = load.Centrifuge
			if test.want.lost == 0 { // Or it is waited for.
				cfg.LossTimeout = 10 * time.Second
			}
			if v.IsProtobuf = test.isProtobuf; test.isProtobuf {
				cfg.Format = load.Protobuf
			}
			res := loadServer(t, cfg, servertest.Start(t, s))
			if got := faultsOf(res); got != test.want || res.Misplaced != test.misplaced {
				t.Errorf("counted %+v and %d misplaced, want %+v and %d\n%v", got, res.Misplaced, test.want, test.misplaced, res.Explanations)
			}
		})
	}
}

func when(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}

func TestSubscriberThatIsRefusedHasFailed(t *testing.T) {
	t.Parallel()
	v := &servertest.Channels{Epoch: "epoch", Refuse: func(conn int, room string) bool { return conn%10 == 9 && room == "room-1" }}
	res := loadSubscribers(t, v, func(c *load.Load) { c.Rooms, c.RoomsPerClient = 2, 2 })
	if got, want := faultsOf(res), (seenFaults{failed: 2}); got != want || !strings.Contains(fmt.Sprint(res.Explanations), "103 permission denied") {
		t.Errorf("counted %+v, want %+v: %v", got, want, res.Explanations)
	}
}

// Each format has messages of its kind. A server that knows none but JSON answers in text what was
// said in protobuf.
func TestFramesInMessagesOfTheOtherKindAreViolations(t *testing.T) {
	t.Parallel()
	url := servertest.Start(t, &servertest.Server{Greeting: `{"id":1,"connect":{}}`, Channels: &servertest.Channels{IsProtobuf: true}})
	cfg := testLoad()
	cfg.Protocol, cfg.Format = load.Centrifuge, load.Protobuf
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	targets, err := cfg.Aim([]string{url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := measure(t.Context(), cfg, targets, nil, &progress.Display{}); err == nil || !strings.Contains(err.Error(), "a message of the other kind") {
		t.Errorf("ended with %v", err)
	}
}

// A gap that a server tells of by an unsubscribe is asked for anew, and is still there.
func TestSubscriberComesBackThatIsUnsubscribedForAGap(t *testing.T) {
	t.Parallel()
	v, isTold := &servertest.Channels{Epoch: "epoch"}, false
	v.Mangle = func(conn int, room string, message int, push string) string {
		if conn == 7 && message == 100 && !isTold {
			isTold = true
			return fmt.Sprintf(`{"push":{"channel":%q,"unsubscribe":{"code":2500,"reason":"insufficient state"}}}`, room)
		}
		return push
	}
	res := loadSubscribers(t, v, nil)
	if res.Delivered != 200*20 || res.Faulty() || !isTold || !strings.Contains(fmt.Sprint(res.Explanations), "unsubscribed with 2500") {
		t.Errorf("%d delivered, %d misplaced, faults %+v: %v", res.Delivered, res.Misplaced, faultsOf(res), res.Explanations)
	}
}

// Nobody who returns is answered before 300 of 400 messages, and all drop at 200.
func TestStormOfSubscribersRecovers(t *testing.T) {
	t.Parallel()
	const resumers = 10
	for _, test := range []struct {
		name           string
		begin          func(asked, end int) (int, bool)
		want           seenFaults
		resets, misses uint64 // of each resumer
	}{
		{name: "recovered"},
		{name: "goes on one behind", begin: func(asked, _ int) (int, bool) { return asked + 1, true }, want: seenFaults{lost: resumers}},
		{name: "goes on one before", begin: func(asked, _ int) (int, bool) { return asked - 1, true }, want: seenFaults{duplicated: resumers}},
		{name: "not recovered", begin: func(asked, _ int) (int, bool) { return asked + 7, false }, resets: 1, misses: 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // It waits more than it works.
			v := &servertest.Channels{Epoch: "epoch", HoldUntil: stormWarmup + 300, Begin: test.begin}
			s := inStorm(t, &servertest.Server{Channels: v}, resumers)
			res := loadSubscribersOf(t, s, func(c *load.Load) {
				c.Storm, c.Resume, c.Messages = 50, true, 400
				if test.want.lost > 0 {
					c.LossTimeout = 3 * time.Second // It is waited for.
				}
				c.Rate, c.Warmup = stormRate, stormWarmup
			})
			if got := faultsOf(res); got != test.want || res.Misplaced > 0 {
				t.Errorf("counted %+v and %d misplaced, want %+v\n%v", got, res.Misplaced, test.want, res.Explanations)
			}
			if c := res.Crowd; c.Resumers != resumers || c.Returned != resumers || c.StormSeconds <= 0 {
				t.Errorf("crowd %+v", c)
			}
			if p := res.Positions; p.Resets != resumers*test.resets || p.Excused != resumers*test.misses {
				t.Errorf("positions %+v", p)
			}
			if want := 400*20 - resumers*test.misses; res.Expected != want || res.Delivered+res.Lost != want {
				t.Errorf("%d delivered + %d lost of %d, want %d", res.Delivered, res.Lost, res.Expected, want)
			}
		})
	}
}

// Of twenty connections ten drop. What comes behind those is refused a few times, with 503 or a
// code that asks to come back, or one that does not.
func TestReturnsThatAreRefusedForTheMomentAreTriedAgain(t *testing.T) {
	t.Parallel() // It waits more than it works.
	const clients, refused = 20, 15
	returns := 0
	isEarly := func(conn int) bool { return conn >= clients && conn < clients+refused }
	closes := func(code int) func(int) int {
		return func(conn int) int {
			if isEarly(conn) {
				return code
			}
			return 0
		}
	}
	for _, test := range []struct {
		name   string
		server *servertest.Server
		want   seenFaults
	}{
		{"503", &servertest.Server{Refuse: isEarly, Channels: &servertest.Channels{Epoch: "epoch"}}, seenFaults{}},
		{"3001", &servertest.Server{Channels: &servertest.Channels{Epoch: "epoch", Close: closes(3001)}}, seenFaults{}},
		{"3500", &servertest.Server{Channels: &servertest.Channels{Epoch: "epoch", Close: closes(3500)}}, seenFaults{closed: clients / 2}},
		{"503 of events", &servertest.Server{Events: &servertest.Events{Epoch: "epoch", Busy: func(int) bool {
			returns++
			return returns > clients/2 && returns <= clients/2+refused
		}}}, seenFaults{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := testLoad()
			cfg.Storm, cfg.Resume, cfg.Messages, cfg.LossTimeout = 50, true, 400, 10*time.Second
			cfg.Rate, cfg.Warmup = stormRate, stormWarmup
			if cfg.Protocol = load.Centrifuge; test.server.Events != nil {
				cfg.Protocol, cfg.SSE, cfg.Storm = "plain", clients/2, 100
			}
			res := loadServer(t, cfg, servertest.Start(t, inStorm(t, test.server, clients/2)))
			got, c := faultsOf(res), res.Crowd
			if test.want.closed > 0 {
				test.want.lost = got.lost // All that those missed.
			}
			if got != test.want || c.Returned != c.Resumers-test.want.closed || (c.Refused == refused) != (test.want.closed == 0) {
				t.Errorf("counted %+v, crowd %+v: %v", got, c, res.Explanations)
			}
		})
	}
}
