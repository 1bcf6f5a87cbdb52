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

// setDefaults puts defaults in place of zeros.
func (o *Options) setDefaults() {
	setDefault(&o.MessageBytesMax, 1<<20)
	setDefault(&o.PacksMax, 1000)
	setDefault(&o.Age, 10*time.Minute)
	setDefault(&o.RoomsMax, 100_000)
	setDefault(&o.PublishBytesMax, 64<<20)
	setDefault(&o.HeldBytesMax, 16<<20)
	setDefault(&o.FillBytesMax, 8<<20)
	setDefault(&o.FetchBytesMax, 1<<20)
	setDefault(&o.OpeningsMax, 16)
	setDefault(&o.PublishTimeout, 10*time.Second)
	setDefault(&o.RequestTimeout, 2*time.Second)
	if o.HistoryOf == nil {
		o.HistoryOf = func(string) hub.History { return hub.History{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Elapsed == nil {
		o.Elapsed = monotonic()
	}
}

func setDefault[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}

// messageMax is how large a payload may be, as far as the limits are known.
func (o *Options) messageMax() int {
	if o.Limit != nil {
		if limit := o.Limit(); limit > 0 {
			return min(limit, o.MessageBytesMax)
		}
	}
	return o.MessageBytesMax
}

// packMax is how large a pack of several messages may be: the broker takes none that is larger than
// a message may be, and leaves room for headers beside that. Before it has told its limit it is the
// smallest one that a broker may have.
func (o *Options) packMax() int {
	if o.Limit != nil && o.Limit() == 0 {
		return min(LimitMin, o.messageMax())
	}
	return min(packBytes, o.messageMax())
}
