package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/hub/cluster"
	"sluice/hub/nodes"
)

// A broker connects the gateways of a cluster.
type broker interface {
	cluster.Broker
	Limit() int // the largest message that it takes, in bytes; zero: that is not known yet
	Close()
}

// A clustering is this gateway's part in a cluster. The nil one is none.
type clustering struct {
	cfg    *Config
	log    *slog.Logger
	broker broker
	node   *cluster.Node // made with the server
	nodes  *nodes.Nodes

	ends    context.CancelFunc
	running sync.WaitGroup
}

// clustering connects, or begins to try; nil without --cluster.
func (c *Config) clustering(log *slog.Logger) (*clustering, error) {
	if len(c.Cluster) == 0 {
		return nil, nil
	}
	broker, err := c.dialNATS(log)
	if err != nil {
		return nil, err
	}
	own := nodes.New(nodes.Options{Name: c.nodeName(), Version: version(), Log: log}, broker.Bus())
	return &clustering{cfg: c, log: log, broker: broker, nodes: own}, nil
}

// join puts what a gateway has to know of its cluster into its options.
func (k *clustering) join(o *gateway.Options) {
	if k != nil {
		o.Cluster, o.Nodes = k.follow, k.nodes
	}
}

// follow makes the stream the order of a gateway's rooms.
func (k *clustering) follow(rooms gateway.Rooms) gateway.Cluster {
	k.node = cluster.New(cluster.Options{
		MessageBytesMax: int(k.cfg.MaxMessage), Limit: k.broker.Limit, PacksMax: k.cfg.clusterMessages(), Age: k.cfg.clusterAge(),
		PublishTimeout: k.cfg.ClusterPublishTimeout, HistoryOf: rooms.HistoryOf, Log: k.log,
	}, k.broker, rooms)
	return k.node
}

// run begins, for a server that is made, and hands over why it cannot go on.
func (k *clustering) run(s *gateway.Server, failed chan<- error) {
	if k == nil {
		return
	}
	var ctx context.Context
	ctx, k.ends = context.WithCancel(context.Background())
	k.running.Go(func() {
		if err := k.node.Run(ctx); err != nil {
			failed <- err
		}
	})
	k.running.Go(func() {
		if err := k.nodes.Run(ctx, s.Node()); err != nil {
			failed <- err
		}
	})
	k.log.Info("this gateway is one of a cluster", "node", k.nodes.List()[0].Name, "id", k.nodes.List()[0].ID)
}

// clusterDrainTime is how long what was published has to be acknowledged when all clients have
// gone.
const clusterDrainTime = 2 * time.Second

// drain waits until what was published is acknowledged. Nobody publishes any more.
func (k *clustering) drain() {
	if k == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), clusterDrainTime)
	defer cancel()
	if err := k.node.Drain(ctx); err != nil {
		k.log.Warn("the cluster has not acknowledged all that was published here: it may have it or not", "error", err)
	}
}

// close ends it. The server is closed by then, or was never run.
func (k *clustering) close() {
	if k == nil {
		return
	}
	if k.ends != nil {
		k.ends()
		k.running.Wait()
	}
	k.broker.Close()
}

// figures are those of the node; nil without a cluster.
func (k *clustering) figures() func() admin.ClusterFigures {
	if k == nil {
		return nil
	}
	return func() admin.ClusterFigures {
		s := k.node.Stats()
		return admin.ClusterFigures{
			IsOut: s.IsOut,
			Packs: s.Packs, PackMessages: s.PackMessages, PackBytes: s.PackBytes,
			AckBounds: cluster.AckTimes[:], AckTimes: s.AckTimes[:], AckTime: s.AckTime,
			Attempts: s.Attempts, Repeated: s.Repeated, Late: s.Late, GivenUp: s.GivenUp, Refused: s.Refused,
			Waiting: s.Waiting, InFlight: s.InFlight, WaitingBytes: s.WaitingBytes, Held: s.Held,
			Rooms: s.Rooms, Opening: s.Opening, Appended: s.Appended, Doubled: s.Doubled, Stray: s.Stray,
			Repairs: s.Repairs, Repaired: s.Repaired, HeldDropped: s.HeldDropped, HeldBytes: s.HeldBytes,
			Checks: s.Checks, Resets: s.Resets, Epochs: s.Epochs, Impossible: s.Impossible,
			Garbage: s.Garbage, UnknownFormat: s.UnknownFormat, Outages: s.Outages, Short: s.Short,
		}
	}
}
