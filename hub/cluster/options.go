package cluster

import (
	"log/slog"
	"time"

	"sluice/hub"
)

// Options are a node's. Zero values are the defaults.
type Options struct {
	// MessageBytesMax is how large a message's payload may be: the smallest of the limits of the
	// gateway, the stream and the broker. 1 MiB.
	MessageBytesMax int
	// Limit is the same as far as the stream and the broker have told theirs; zero before that.
	// Nil: they have none. It is called by any goroutine, and does not wait.
	Limit func() int
	// PacksMax is how many packs of a room the stream keeps: its MaxMsgsPerSubject. 1,000.
	PacksMax int
	// Age is how long it keeps them: its MaxAge. 10 minutes.
	Age time.Duration
	// RoomsMax is how many rooms may be followed. 100,000.
	RoomsMax int
	// PublishBytesMax bounds what waits for the stream, of all rooms: payloads and what is kept
	// with them. Beyond it all publishers wait. 64 MiB.
	PublishBytesMax int64
	// HeldBytesMax bounds what was republished and waits for what was published before it, of all
	// rooms. Beyond it messages are dropped, and fetched again. 16 MiB.
	HeldBytesMax int64
	// FillBytesMax bounds what a room is filled with, however much its history says. 8 MiB.
	FillBytesMax int64
	// FetchBytesMax bounds one answer to a fetch, of which there are OpeningsMax at a time. 1 MiB.
	FetchBytesMax int
	// OpeningsMax is how many rooms are being opened or repaired at a time. 16.
	OpeningsMax int

	// PublishTimeout is when publishers are told that their message is not acknowledged:
	// --cluster-publish-timeout. 10 s.
	PublishTimeout time.Duration
	// RequestTimeout is for each request to the broker. 2 s.
	RequestTimeout time.Duration

	// HistoryOf says what a room keeps, for which it is filled when it is opened. Nil: nothing. It
	// is called by the node's goroutine.
	HistoryOf func(room string) hub.History

	// Log is for what operators have to know. Nil: nobody.
	Log *slog.Logger

	// Elapsed is the time, on a clock that nobody sets. Nil: the process's monotonic one.
	Elapsed func() time.Duration
}
