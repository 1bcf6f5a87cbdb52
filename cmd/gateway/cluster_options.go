package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"
)

// clusterAgeMin is for how long a stream knows the ids of its messages, which it cannot keep for
// longer than them.
const clusterAgeMin = 2 * time.Minute

// What the stream keeps, unless it is told or --history promises more.
const (
	clusterAge      = 10 * time.Minute
	clusterMessages = 1000
)

// clusterFault says what is wrong with the flags of a cluster together.
func clusterFault(c *Config) string {
	for _, address := range c.Cluster {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return "--cluster: an address is nats://host:port or tls://host:port" // Without it: a password may be in it.
		}
	}
	switch {
	case len(c.Cluster) == 0 && (c.ClusterNode != "" || c.ClusterCredentials != "" || c.ClusterCA != "" || c.ClusterCert != "" || c.ClusterKey != ""):
		return "--cluster-node, --cluster-credentials, --cluster-ca, --cluster-cert, --cluster-key: nothing goes by them without --cluster"
	case (c.ClusterCert == "") != (c.ClusterKey == ""):
		return "--cluster-cert, --cluster-key: a certificate has a key, and a key a certificate"
	case len(c.ClusterNode) > 255:
		return "--cluster-node: a name has at most 255 bytes"
	case c.ClusterReplicas < 0 || c.ClusterReplicas > 5:
		return fmt.Sprintf("--cluster-replicas %d: must be 1 to 5, or 0 for three where there are as many servers", c.ClusterReplicas)
	case c.ClusterAge != 0 && (c.ClusterAge < clusterAgeMin || c.ClusterAge > delayMax):
		return fmt.Sprintf("--cluster-age %v: must be %v to %v, or 0", c.ClusterAge, clusterAgeMin, delayMax)
	case c.ClusterMessages < 0:
		return fmt.Sprintf("--cluster-messages %d: must be at least 1, or 0", c.ClusterMessages)
	case c.ClusterBytes < 1<<20:
		return fmt.Sprintf("--cluster-bytes %v: must be at least 1MiB", c.ClusterBytes)
	case len(c.Cluster) > 0:
		return clusterHistoryFault(c)
	}
	return ""
}

// clusterHistoryFault says what --history promises that the stream is told not to keep. An age that
// is not given promises nothing; and whether there are bytes enough depends on how many rooms there
// are.
func clusterHistoryFault(c *Config) string {
	for _, h := range c.History {
		switch {
		case h.Age > c.clusterAge():
			return fmt.Sprintf("--cluster-age %v: must be at least the %v for which --history %s keeps messages", c.ClusterAge, h.Age, h.Pattern)
		case h.Messages > c.clusterMessages():
			return fmt.Sprintf("--cluster-messages %d: must be at least the %d that --history %s keeps", c.ClusterMessages, h.Messages, h.Pattern)
		}
	}
	return ""
}

// clusterAge is --cluster-age, or what stands for it.
func (c *Config) clusterAge() time.Duration {
	age := c.ClusterAge
	if age == 0 {
		age = clusterAge
		for _, h := range c.History {
			age = max(age, h.Age)
		}
	}
	return age
}

// clusterMessages is --cluster-messages, or what stands for it.
func (c *Config) clusterMessages() int {
	n := c.ClusterMessages
	if n == 0 {
		n = clusterMessages
		for _, h := range c.History {
			n = max(n, h.Messages)
		}
	}
	return n
}

// nodeName is --cluster-node or what stands for it, the same each time that it is asked for.
func (c *Config) nodeName() string {
	if c.ClusterNode != "" {
		return c.ClusterNode
	}
	return randomName()
}

var randomName = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "gateway"
	}
	var some [3]byte
	_, _ = rand.Read(some[:]) // It does not fail.
	return host[:min(len(host), 200)] + "-" + hex.EncodeToString(some[:])
})
