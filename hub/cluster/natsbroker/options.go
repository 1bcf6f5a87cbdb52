package natsbroker

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	dialTimeout = 2 * time.Second
	// writeTimeout is for a socket that takes nothing. The connection is given up then.
	writeTimeout = 5 * time.Second
)

// Options say where the broker is, and what stream this gateway expects there.
type Options struct {
	URLs        []string    // nats:// or tls://, with user and password if they have any; one is chosen at random
	Credentials string      // a file with a user's JWT and seed; empty: none
	TLS         *tls.Config // nil: as the URLs and the server say
	Name        string      // the gateway's, for the broker's monitoring

	Replicas int           // copies of each message, 1 to 5; 0: three, or one where the broker allows no three
	InMemory bool          // the stream is in the brokers' memory, not in files
	Age      time.Duration // for which a message is kept; from 2 minutes, for which ids are
	Messages int64         // packs of a room that are kept
	Bytes    int64         // of all rooms

	MaxMessage int          // the largest message that clients may send, in bytes
	Log        *slog.Logger // nil: nothing is logged
}

func (o *Options) servers() string { return strings.Join(o.URLs, ",") }

// login is what each connection needs.
func (o *Options) login() []nats.Option {
	options := []nats.Option{nats.Name(o.Name), nats.Timeout(dialTimeout), nats.FlusherTimeout(writeTimeout)}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.TLS != nil {
		options = append(options, nats.Secure(o.TLS))
	}
	return options
}
