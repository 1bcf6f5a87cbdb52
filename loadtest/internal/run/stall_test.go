package run

import (
	"fmt"
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/servertest"
)

// Relatives: a stall in the middle, before the last message and in the warm-up; one message on its
// way and many; an open loop whose last messages meet it; messages that are large.
func TestN85_StallIsOneStallAndLosesNothing(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	for _, test := range []struct {
		name string
		at   int // before which message the server pauses, of all
		turn func(*load.Load)
	}{
		{"window 8", 100, func(c *load.Load) { c.Window = 8 }},
		{"window 60", 100, func(c *load.Load) { c.Window = 60 }},
		{"one at a time", 100, func(c *load.Load) { c.Window = 1 }},
		{"the last of many", 192, func(c *load.Load) { c.Window = 8 }},
		{"the very last", 199, func(c *load.Load) { c.Window = 1 }},
		{"in the warm-up", 9, func(c *load.Load) { c.Window, c.Warmup = 8, 10 }},
		{"open loop", 195, func(c *load.Load) { c.Rate = 2000 }},
		{"large", 10, func(c *load.Load) { c.Window, c.Messages, c.Clients, c.Size = 60, 80, 3, load.FixedSize(1<<20) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // It waits more than it works.
			cfg := testLoad()
			cfg.LossTimeout, cfg.Loops = patience, 1
			test.turn(cfg)
			res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Before: func(message int) {
				if message == test.at {
					// Beyond the patience for one, within that for two.
					time.Sleep(patience * 3 / 2)
				}
			}}))
			if got := faultsOf(res); got != (seenFaults{}) || res.Faulty() || res.Delivered != res.Expected || res.Unfinished > 0 {
				t.Errorf("%d of %d delivered, %d unfinished, %d lost in the warm-up, faults %+v", res.Delivered, res.Expected, res.Unfinished, res.WarmupLost, got)
			}
			if res.Messages != uint64(cfg.Messages) {
				t.Errorf("%d sent of %d", res.Messages, cfg.Messages)
			}
		})
	}
}

// A server that is too slow for the time it is given. What it still sends then is not lost; what it
// left out, and what it owed to a connection that it ended, is.
func TestN85_NotWaitedForIsNotLost(t *testing.T) {
	t.Parallel() // It waits more than it works.
	cfg := testLoad()
	cfg.Rate, cfg.Messages, cfg.Loops, cfg.LossTimeout, cfg.Drain = 1000, 300, 1, 900*time.Millisecond, time.Second
	s := &servertest.Server{
		Before: func(int) { time.Sleep(20 * time.Millisecond) }, // 300 would take six seconds
		Mangle: func(conn, message int, p []byte) [][]byte {
			if message == 5 && conn == 18 {
				return [][]byte{}
			}
			return nil
		},
	}
	// The publisher, which need not have come first, is spared.
	s.HangUp = func(conn, message int) bool { return message == 10 && conn == (s.Sender+1)%20 }
	res := loadServer(t, cfg, servertest.Start(t, s))
	if res.Lost != 1+290 || res.Unfinished == 0 || res.Delivered+res.Lost+res.Unfinished != res.Expected {
		t.Errorf("%d delivered + %d lost + %d unfinished of %d; want 291 lost", res.Delivered, res.Lost, res.Unfinished, res.Expected)
	}
}

// What one publisher's last messages lack is lost, although another's still come when the time is
// over.
func TestN85_WhatNobodySendsAnyMoreIsLost(t *testing.T) {
	t.Parallel() // It waits more than it works.
	inOneRun(t, func() error {
		cfg := testLoad()
		cfg.Rate, cfg.Publishers, cfg.Messages, cfg.Loops, cfg.LossTimeout, cfg.Drain = 1000, 2, 300, 1, 700*time.Millisecond, 2*time.Second
		s := &servertest.Server{}
		first := -1 // the publisher that is heard of no more after its first message
		s.Before = func(message int) {
			if message == 0 {
				first = s.Sender
			}
			if s.Sender != first {
				time.Sleep(25 * time.Millisecond) // 150 take longer than there is time
			}
		}
		s.Mangle = func(_, message int, _ []byte) [][]byte {
			if message > 0 && s.Sender == first {
				return [][]byte{}
			}
			return nil
		}
		res := loadServer(t, cfg, servertest.Start(t, s))
		if res.Messages != 300 || res.Lost != 149*20 || res.Unfinished == 0 {
			return fmt.Errorf("%d sent, %d lost, %d unfinished; want 300, 2980, and some", res.Messages, res.Lost, res.Unfinished)
		}
		return nil
	})
}

// Relatives: a server that sends to all but the sender, to nobody, and wrapped.
func TestN66_WhoHearsNothingIsExplained(t *testing.T) {
	t.Parallel()
	only := func(is func(isSender bool) bool) *servertest.Server {
		s := &servertest.Server{}
		s.Mangle = func(conn, _ int, _ []byte) [][]byte {
			if is(conn == s.Sender) {
				return nil
			}
			return [][]byte{}
		}
		return s
	}
	const echo, noEcho = "only the sender hears it: an echo server, or another room?", "everybody but the sender hears it: a server that does not echo? Try --no-echo"
	for _, test := range []struct {
		name   string
		server *servertest.Server
		turn   func(*load.Load)
		want   string
	}{
		{"echo", only(func(isSender bool) bool { return isSender }), nil, echo},
		{"echo, several publishers, open loop", only(func(isSender bool) bool { return isSender }), func(c *load.Load) { c.Publishers, c.Rate = 3, 1000 }, echo},
		{"no echo", only(func(isSender bool) bool { return !isSender }), nil, noEcho},
		{"no echo, several publishers, open loop", only(func(isSender bool) bool { return !isSender }), func(c *load.Load) { c.Publishers, c.Rate = 3, 1000 }, noEcho},
		{"no echo, and said so", only(func(isSender bool) bool { return !isSender }), func(c *load.Load) { c.NoEcho = true }, ""},
		{"nobody", only(func(bool) bool { return false }), nil, "nobody got anything, not even the sender: does this path broadcast?"},
		{
			"wrapped", &servertest.Server{Wrap: func(_ int, p []byte) []byte { return append([]byte("> "), p...) }}, nil,
			"nobody got a message of ours, but others came: does the server wrap messages? Try --contains",
		},
		{"one client alone", only(func(isSender bool) bool { return isSender }), func(c *load.Load) { c.Clients = 1 }, ""},
		{"a lost message", &servertest.Server{Mangle: func(conn, message int, _ []byte) [][]byte {
			if conn == 3 && message == 30 {
				return [][]byte{}
			}
			return nil
		}}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // It waits more than it works.
			cfg := testLoad()
			cfg.Messages, cfg.Window, cfg.Loops, cfg.LossTimeout = 60, 4, 1, 300*time.Millisecond
			if test.turn != nil {
				test.turn(cfg)
			}
			res := loadServer(t, cfg, servertest.Start(t, test.server))
			if res.Guess != test.want {
				t.Errorf("guessed %q, want %q; %d of %d delivered, faults %+v", res.Guess, test.want, res.Delivered, res.Expected, faultsOf(res))
			}
			if isBad := test.want != "" || test.name == "a lost message"; res.Faulty() != isBad {
				t.Errorf("judged faulty: %v", res.Faulty())
			}
		})
	}
}
