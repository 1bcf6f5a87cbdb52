package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

// The epoch is a key in a bucket beside the stream: the same servers, storage and copies.
const (
	bucket       = "SLUICE_EPOCH"
	bucketStream = "KV_" + bucket
	epochKey     = "0" // the shard
	bucketBytes  = 1 << 20
)

// epochRecord is what the key holds.
type epochRecord struct {
	ID   string `json:"id"`
	Seq  uint64 `json:"seq"`
	Time int64  `json:"time"`
}

// openBucket finds the bucket or makes it.
func (n *Broker) openBucket(ctx context.Context, like *jetstream.StreamInfo) error {
	kv, err := n.findBucket(ctx)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = n.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucket, Description: "Epochs of Sluice's streams", History: 1, MaxBytes: bucketBytes,
			Storage: like.Config.Storage, Replicas: like.Config.Replicas,
		})
		if errors.Is(err, jetstream.ErrBucketExists) { // Another gateway's was first.
			kv, err = n.findBucket(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	n.epochs.Store(&kv)
	return nil
}

func (n *Broker) findBucket(ctx context.Context) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return n.js.KeyValue(ctx, bucket)
}

// Epoch implements cluster.Broker. It asks the leader: nats.go's buckets ask any server.
func (n *Broker) Epoch(ctx context.Context) (cluster.Epoch, uint64, error) {
	a, err := n.askLeader(ctx, bucketStream, getRequest{LastBy: "$KV." + bucket + "." + epochKey})
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		return cluster.Epoch{}, 0, nil
	case err != nil:
		return cluster.Epoch{}, 0, err
	case len(a.Message.Data) == 0: // Somebody has deleted it. What comes next replaces that.
		return cluster.Epoch{}, a.Message.Seq, nil
	}
	var r epochRecord
	if err := json.Unmarshal(a.Message.Data, &r); err != nil || r.ID == "" {
		return cluster.Epoch{}, 0, fmt.Errorf("the epoch in bucket %s is not ours: %q", bucket, a.Message.Data)
	}
	return cluster.Epoch{Name: r.ID, Seq: r.Seq, Time: r.Time}, a.Message.Seq, nil
}

// SetEpoch implements cluster.Broker.
func (n *Broker) SetEpoch(ctx context.Context, e cluster.Epoch, revision uint64) error {
	kv := n.epochs.Load()
	if kv == nil {
		return errNotOpen
	}
	body, err := json.Marshal(epochRecord{e.Name, e.Seq, e.Time})
	if err == nil {
		_, err = (*kv).Update(ctx, epochKey, body, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return cluster.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("setting the epoch: %w", err)
	}
	return nil
}
