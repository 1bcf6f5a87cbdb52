package main

import "time"

// ClusterFlags say with which other gateways this one shares its rooms.
type ClusterFlags struct {
	Cluster            []string `help:"NATS servers with JetStream, by which several gateways serve the same rooms: nats://host:4222, or tls://…; as many of one cluster as there are. Repeatable. Without it the gateway is alone." placeholder:"URL" group:"Cluster" secret:""`
	ClusterNode        string   `help:"How this gateway is called among the others, unlike each of them: in their logs and on the live page. Default: the machine's name and something at random." placeholder:"NAME" group:"Cluster"`
	ClusterCredentials string   `help:"A NATS credentials file: a user's JWT and seed." placeholder:"FILE" group:"Cluster"`
	ClusterCA          string   `name:"cluster-ca" help:"A file of authorities in PEM, one of which has signed the servers' certificates. Default: the system's." placeholder:"FILE" group:"Cluster"`
	ClusterCert        string   `name:"cluster-cert" help:"A certificate's file in PEM, by which the servers know this gateway." placeholder:"FILE" group:"Cluster"`
	ClusterKey         string   `name:"cluster-key" help:"Its key's file." placeholder:"FILE" group:"Cluster"`

	ClusterOutage         string        `help:"What becomes of clients while the servers cannot be reached: hold, they stay and publishers wait; close, after 10 seconds they are closed with 1013 and new ones refused, so that they look for another gateway." enum:"hold,close" default:"hold" placeholder:"hold|close" group:"Cluster"`
	ClusterReplicas       int           `help:"Servers that have each message, 1 to 5, when the stream is made. 0 means three, or one where there are fewer." default:"0" placeholder:"N" group:"Cluster"`
	ClusterStorage        string        `help:"Where the servers keep messages: file or memory." enum:"file,memory" default:"file" placeholder:"file|memory" group:"Cluster"`
	ClusterAge            time.Duration `help:"For how long the stream keeps messages: what a gateway fetches that has missed some, or opens a room. 0 means 10 minutes, or as long as --history says." default:"0" group:"Cluster"`
	ClusterMessages       int           `help:"Packs of messages that the stream keeps for each room: one that a publisher sends alone is one, those that come close together share one. 0 means 1,000, or as many as --history says." default:"0" placeholder:"N" group:"Cluster"`
	ClusterBytes          Size          `help:"What the stream keeps of all rooms; beyond it the oldest goes." default:"1GiB" placeholder:"SIZE" group:"Cluster"`
	ClusterPublishTimeout time.Duration `help:"How long a publisher waits for the servers' acknowledgement. Over HTTP it is 503 with Retry-After then." default:"10s" group:"Cluster"`
}
