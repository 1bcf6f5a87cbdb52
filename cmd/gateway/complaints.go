package main

import (
	"errors"
	"fmt"
	"time"

	"sluice/gateway"
)

// A complaint is what the command line's user reads about a field that the library refused, or
// about a value that only the command line refuses.
type complaint struct {
	field string // of gateway.Options; empty: the text itself says whether anything is wrong
	text  func(c *Config) string
}

// complaints are in the order in which they are made.
var complaints = []complaint{
	{"", (*Config).listeningFault},
	{"", adminFault},
	{"", clusterFault},
	{"", authDownFault},
	{"", notNegative("publish-rate", func(c *Config) int { return c.PublishRate })},
	{"Loops", func(c *Config) string {
		return fmt.Sprintf("--loops %d: must be 1 to 1024, or 0 for one per core", c.Loops)
	}},
	{"MaxConnections", atLeastOne("max-connections", func(c *Config) int { return c.MaxConnections })},
	{"AuthRequests", atLeastOne("auth-requests", func(c *Config) int { return c.AuthRequests })},
	{"MaxHTTPConnections", func(c *Config) string {
		return fmt.Sprintf("--max-http-connections %d: must be 1 to 1048576", c.MaxHTTPConnections)
	}},
	{"", notNegative("max-per-address", func(c *Config) int { return c.MaxPerAddress })},
	{"", notNegative("connect-rate", func(c *Config) int { return c.ConnectRate })},
	{"", notNegative("max-rooms", func(c *Config) int { return c.MaxRooms })},
	{"", notNegative("frame-rate", func(c *Config) int { return c.FrameRate })},
	{"", notNegative("ping-rate", func(c *Config) int { return c.PingRate })},
	{"", notNegative("message-rate", func(c *Config) int { return c.MessageRate })},
	{"InflateRate", func(c *Config) string {
		return fmt.Sprintf("--inflate-rate %v: must be at most 1TiB, or 0 for no limit", c.InflateRate)
	}},
	{"ByteRate", func(c *Config) string {
		return fmt.Sprintf("--byte-rate %v: must be at least 16KiB, what is read at a time, or 0 for no limit", c.ByteRate)
	}},
	{"TLSHandshakes", atLeastOne("tls-handshakes", func(c *Config) int { return c.TLSHandshakes })},
	{"TLSRunning", func(c *Config) string {
		return fmt.Sprintf("--tls-handshakes-running %d: must be at least 1, or 0 for half of the cores", c.TLSRunning)
	}},
	{"TLSPairs", func(c *Config) string { return c.listeningFault() }},
	{"MaxFragments", atLeastOne("max-fragments", func(c *Config) int { return c.MaxFragments })},
	{"MaxSubscriptions", atLeastOne("max-subscriptions", func(c *Config) int { return c.MaxSubscriptions })},
	{"ReplyBacklog", func(c *Config) string {
		return fmt.Sprintf("--reply-backlog %v: must be at least 64KiB", c.ReplyBacklog)
	}},
	{"MaxHead", func(c *Config) string {
		return fmt.Sprintf("--max-head %v: must be 1KiB to 1MiB", c.MaxHead)
	}},
	{"HeadMemory", func(c *Config) string {
		return fmt.Sprintf("--head-memory %v: must be at least --max-head, %v", c.HeadMemory, c.MaxHead)
	}},
	{"MaxMessage", func(c *Config) string {
		return fmt.Sprintf("--max-message %v: must be 1 byte to 512MiB", c.MaxMessage)
	}},
	{"RoomBacklog", func(c *Config) string {
		return fmt.Sprintf("--room-backlog %v: must exceed --max-message %v, or the largest message could never be delivered",
			c.RoomBacklog, c.MaxMessage)
	}},
	{"BacklogMemory", func(c *Config) string {
		return fmt.Sprintf("--backlog-memory %v: must be at least --room-backlog, %v", c.BacklogMemory, c.RoomBacklog)
	}},
	{"PinnedMemory", func(c *Config) string {
		return fmt.Sprintf("--pinned-memory %v: must be at least --max-message and a header, %v",
			c.PinnedMemory, c.MaxMessage+gateway.MessageHeaderMax)
	}},
	{"AssemblyMemory", func(c *Config) string {
		return fmt.Sprintf("--assembly-memory %v: must be at least --max-message, %v", c.AssemblyMemory, c.MaxMessage)
	}},
	{"MinReadRate", func(c *Config) string {
		return fmt.Sprintf("--min-read-rate %v: must be less than 2GiB", c.MinReadRate)
	}},
	{"UnsentBuffer", tooMuchBuffer},
	{"SendBuffer", tooMuchBuffer},
	{"PublishWindow", func(c *Config) string {
		return fmt.Sprintf("--publish-window %v: must be 1 byte to --room-backlog %v", c.PublishWindow, c.RoomBacklog)
	}},
	{"HistoryMemory", func(c *Config) string {
		return fmt.Sprintf("--history-memory %v: must be at least what --history lets one room keep and --room-backlog, %v", c.HistoryMemory, max(c.mostHistory(), c.RoomBacklog))
	}},
	{"HandshakeTimeout", reasonable("handshake-timeout", func(c *Config) time.Duration { return c.HandshakeTimeout })},
	{"AssemblyTimeout", reasonable("assembly-timeout", func(c *Config) time.Duration { return c.AssemblyTimeout })},
	{"PingInterval", reasonable("ping-interval", func(c *Config) time.Duration { return c.PingInterval })},
	{"PongTimeout", reasonable("pong-timeout", func(c *Config) time.Duration { return c.PongTimeout })},
	{"StallTimeout", reasonable("stall-timeout", func(c *Config) time.Duration { return c.StallTimeout })},
	{"SkipTimeout", reasonable("skip-timeout", func(c *Config) time.Duration { return c.SkipTimeout })},
	{"CloseTimeout", reasonable("close-timeout", func(c *Config) time.Duration { return c.CloseTimeout })},
	{"DrainDelay", delayed},
	{"", delayed},
	{"MaxLifetime", func(c *Config) string {
		return fmt.Sprintf("--max-lifetime %v: must be 1s to 1000h0m0s, or 0 for ever", c.MaxLifetime)
	}},
	{"ClusterTimeout", reasonable("cluster-publish-timeout", func(c *Config) time.Duration { return c.ClusterPublishTimeout })},
	{"DrainTimeout", reasonable("drain-timeout", func(c *Config) time.Duration { return c.DrainTimeout })},
}

// wordFlags are those of which the library says all there is to say.
var wordFlags = map[string]string{
	"AllowOrigin":  "--allow-origin",
	"SocketGroup":  "--socket-group",
	"PathPrefix":   "--path-prefix",
	"Rooms":        "--room",
	"History":      "--history",
	"Anonymous":    "--anonymous",
	"AuthCookie":   "--auth-cookie",
	"AllowHost":    "--allow-host",
	"Subprotocols": "--subprotocol",
	"TLSClientCA":  "--tls-client-ca",
}

func atLeastOne(flag string, value func(*Config) int) func(*Config) string {
	return func(c *Config) string { return fmt.Sprintf("--%s %d: must be at least 1", flag, value(c)) }
}

// notNegative complains of a number below zero, which is "none" in the library and a slip on a
// command line.
func notNegative(flag string, value func(*Config) int) func(*Config) string {
	return func(c *Config) string {
		if value(c) >= 0 {
			return ""
		}
		return fmt.Sprintf("--%s %d: must be at least 1, or 0 for no limit", flag, value(c))
	}
}

// delayed complains of a delay that is none: less than nothing, or longer than anybody means.
func delayed(c *Config) string {
	if c.DrainDelay >= 0 && c.DrainDelay <= delayMax {
		return ""
	}
	return fmt.Sprintf("--drain-delay %v: must be 0s to %v", c.DrainDelay, delayMax)
}

func tooMuchBuffer(c *Config) string {
	return fmt.Sprintf("--unsent-buffer %v, --send-buffer %v: must be less than 1GiB", c.UnsentBuffer, c.SendBuffer)
}

func reasonable(flag string, value func(*Config) time.Duration) func(*Config) string {
	return func(c *Config) string { return fmt.Sprintf("--%s %v: must be 1ms to 1000h0m0s", flag, value(c)) }
}

// check refuses flags that cannot work, each in the words of the command line.
func (c *Config) check() error {
	var problems []error
	opts := c.options()
	known, err := c.authenticator(nil)
	if err != nil {
		problems = append(problems, err)
		opts.AuthCookie = "" // Nothing can be said of it.
	} else if known != nil {
		opts.Auth = known
	}
	refused := map[string]error{}
	for _, err := range unjoin(opts.Validate()) {
		var one *gateway.OptionError
		if !errors.As(err, &one) {
			return err
		}
		refused[one.Field] = one
	}
	said := map[string]bool{"": true}
	for _, one := range complaints {
		if one.field != "" && refused[one.field] == nil {
			continue
		}
		delete(refused, one.field)
		if text := one.text(c); !said[text] {
			said[text] = true
			problems = append(problems, errors.New(text))
		}
	}
	for field, err := range refused {
		if flag := wordFlags[field]; flag != "" {
			err = fmt.Errorf("%s: %w", flag, errors.Unwrap(err))
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// unjoin lists what errors.Join has joined.
func unjoin(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// authDownFault says what is wrong with --auth-down: letting everybody in who may then do nothing
// ends clients of the Centrifuge protocol for good, which would have come back.
func authDownFault(c *Config) string {
	switch {
	case c.AuthDown != "anonymous":
	case c.AuthURL == "":
		return "--auth-down anonymous: is about --auth-url, and there is none"
	case len(c.Anonymous) == 0:
		return "--auth-down anonymous: those may do nothing without --anonymous, such as --anonymous '*=read'"
	}
	return ""
}
