package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

const (
	// storedMax is the largest pack that a stream made here takes.
	storedMax = 1 << 20
	// replicasTries is how often three copies are asked for, half a second apart, in a cluster that
	// has no three servers at the moment: they may be starting, and a stream is made once.
	replicasTries = 20
)

// Codes of JetStream's errors that mean: not as many copies, whoever asks and however often.
const (
	codeNotClustered = 10074 // replicas > 1 without a cluster
	codeNoTier       = 10120 // the account's limits have no line for as many replicas
	codeNoPeers      = 10005 // too few servers, now
)

// A SettingsError tells how a stream that exists differs from what this gateway would make. Nobody
// but its operator changes it.
type SettingsError struct {
	Stream string
	Fields []string // one sentence for each
}

func (e *SettingsError) Error() string {
	return "stream " + e.Stream + ": " + strings.Join(e.Fields, "; ")
}

func (e *SettingsError) Unwrap() error { return cluster.ErrUnfit }

// streamConfig is the stream that holds the order of all rooms. Zero replicas: as many as it may.
func (o *Options) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              streamName,
		Description:       "Rooms of Sluice. Made by a gateway; every gateway holds it against its own flags.",
		Subjects:          []string{inOfStream},
		Storage:           o.storage(),
		Replicas:          o.Replicas,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxMsgs:           -1,
		MaxConsumers:      -1,
		MaxMsgsPerSubject: o.Messages,
		MaxBytes:          o.Bytes,
		MaxAge:            o.Age,
		MaxMsgSize:        storedMax,
		AllowDirect:       true,
		Duplicates:        min(cluster.PublishWindow, o.Age),
		RePublish:         &jetstream.RePublish{Source: inOfStream, Destination: toOfStream},
	}
}

func (o *Options) storage() jetstream.StorageType {
	if o.InMemory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// openStream returns the stream as it is: found and held against ours, or made.
func (n *Broker) openStream(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := n.findStream(ctx)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return info, err
	}
	err = n.makeStream(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // Another gateway's was first.
		return nil, err
	}
	return n.findStream(ctx)
}

func (n *Broker) findStream(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s, err := n.js.Stream(ctx, streamName)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	info := s.CachedInfo()
	return info, n.o.hold(info)
}

// makeStream makes it with the copies that were asked for, or three, or one where there cannot be
// three.
func (n *Broker) makeStream(ctx context.Context) error {
	want := n.o.streamConfig()
	if want.Replicas == 0 {
		want.Replicas = 3
	}
	_, err := n.js.CreateStream(ctx, want)
	if n.o.Replicas == 0 && n.countTooFew(err) {
		n.log.Warn("the stream has one copy: the NATS servers allow no three", "stream", streamName, "why", err)
		want.Replicas = 1
		_, err = n.js.CreateStream(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("stream %s cannot be made: %w", streamName, err)
	}
	n.log.Info("stream made", "stream", streamName, "replicas", want.Replicas)
	return nil
}

// countTooFew counts what says that there are too few servers for three copies, and reports whether
// it has been said often enough: those of a cluster that begins are not all there at once.
func (n *Broker) countTooFew(err error) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.ErrorCode {
	case codeNotClustered, codeNoTier:
		return true
	case codeNoPeers:
		n.tooFew++
		return n.tooFew > replicasTries
	}
	return false
}

// hold tells in which fields a stream is not what ours would be.
func (o *Options) hold(info *jetstream.StreamInfo) error {
	is, want := &info.Config, o.streamConfig()
	e := &SettingsError{Stream: is.Name}
	differs := func(field string, is, want any, flag string) {
		if is != want {
			e.Fields = append(e.Fields, fmt.Sprintf("%s is %v, not %v%s", field, is, want, flag))
		}
	}
	if o.Replicas != 0 {
		differs("replicas", is.Replicas, want.Replicas, " (--cluster-replicas)")
	}
	differs("storage", is.Storage, want.Storage, " (--cluster-storage)")
	differs("max age", is.MaxAge, want.MaxAge, " (--cluster-age)")
	differs("max messages per subject", is.MaxMsgsPerSubject, want.MaxMsgsPerSubject, " (--cluster-messages)")
	differs("max bytes", is.MaxBytes, want.MaxBytes, " (--cluster-bytes)")
	differs("max messages", is.MaxMsgs, want.MaxMsgs, "")
	differs("retention", is.Retention, want.Retention, "")
	differs("discard", is.Discard, want.Discard, "")
	differs("discard new per subject", is.DiscardNewPerSubject, false, "")
	differs("duplicate window", is.Duplicates, want.Duplicates, "")
	differs("allow direct", is.AllowDirect, true, "")
	differs("no ack", is.NoAck, false, "")
	differs("sealed", is.Sealed, false, "")
	differs("message counter", is.AllowMsgCounter, false, "")
	differs("acknowledged before it is stored", is.PersistMode == jetstream.AsyncPersistMode, false, "")
	differs("a mirror, has sources or transforms", is.Mirror != nil || len(is.Sources) > 0 || is.SubjectTransform != nil, false, "")
	if !slices.Equal(is.Subjects, want.Subjects) {
		differs("subjects", strings.Join(is.Subjects, " "), strings.Join(want.Subjects, " "), "")
	}
	differs("republish", republish(is.RePublish), republish(want.RePublish), "")
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

func republish(r *jetstream.RePublish) string {
	switch {
	case r == nil:
		return "off"
	case r.HeadersOnly:
		return r.Source + " to " + r.Destination + ", headers only"
	}
	return r.Source + " to " + r.Destination
}
