package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"sluice/hub/cluster/natsbroker"
)

// dialNATS connects to the servers, or begins to try.
func (c *Config) dialNATS(log *slog.Logger) (*natsbroker.Broker, error) {
	o, err := c.natsOptions(log)
	if err != nil {
		return nil, err
	}
	b, err := natsbroker.Dial(o)
	if err != nil {
		return nil, fmt.Errorf("--cluster: %w", err)
	}
	return b, nil
}

// natsOptions are what the flags come to. It reads files.
func (c *Config) natsOptions(log *slog.Logger) (natsbroker.Options, error) {
	o := natsbroker.Options{
		URLs: c.Cluster, Credentials: c.ClusterCredentials, Name: c.nodeName(),
		Replicas: c.ClusterReplicas, InMemory: c.ClusterStorage == "memory", Age: c.clusterAge(),
		Messages: int64(c.clusterMessages()), Bytes: int64(c.ClusterBytes), MaxMessage: int(c.MaxMessage), Log: log,
	}
	if c.ClusterCredentials != "" {
		if _, err := os.Stat(c.ClusterCredentials); err != nil {
			return o, fmt.Errorf("--cluster-credentials: %w", err)
		}
	}
	if c.ClusterCA == "" && c.ClusterCert == "" {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ClusterCA != "" {
		text, err := os.ReadFile(c.ClusterCA)
		if err != nil {
			return o, fmt.Errorf("--cluster-ca: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(text) {
			return o, fmt.Errorf("--cluster-ca: there is no certificate in %s", c.ClusterCA)
		}
	}
	if c.ClusterCert != "" {
		pair, err := tls.LoadX509KeyPair(c.ClusterCert, c.ClusterKey)
		if err != nil {
			return o, fmt.Errorf("--cluster-cert, --cluster-key: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return o, nil
}

// clusterCheckTime is how long the servers have to answer.
const clusterCheckTime = 10 * time.Second

// checkCluster asks the servers what they would refuse, if there are any. What they allow and
// should not is said, and no fault; nor is it that they are not there, or a gateway that has its
// file checked before it starts, as a service of systemd does, could not start before them.
func (c *Config) checkCluster(warn func(error)) error {
	if len(c.Cluster) == 0 {
		return nil
	}
	o, err := c.natsOptions(nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), clusterCheckTime)
	defer cancel()
	var faults []error
	for _, err := range natsbroker.Check(ctx, o) {
		if errors.Is(err, natsbroker.ErrForgeable) || errors.Is(err, natsbroker.ErrUnreached) {
			warn(err)
			continue
		}
		faults = append(faults, fmt.Errorf("--cluster: %w", err))
	}
	return errors.Join(faults...)
}
