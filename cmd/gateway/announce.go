package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime/debug"

	"sluice/gateway"
)

// announce says what a person who just started the gateway wants to know. container is the limit of
// memory that its own comes from, zero if it does not.
func announce(
	s *gateway.Server, cfg *Config, speaks []gateway.ListenOptions, opts *gateway.Options,
	container int64, log *slog.Logger,
) {
	for i, addr := range s.Addrs() {
		spoken := speaks[i]
		log.Info("listening", "address", addr.String(),
			"tls", spoken.TLS, "proxy_protocol", spoken.ProxyProtocol,
			"loops", opts.Loops, "max_connections", opts.MaxConnections)
		isForPeople := addr.Network() == "tcp" && opts.Auth == nil && !spoken.ProxyProtocol
		if i == 0 && cfg.Web == "demo" && isForPeople {
			log.Info("open the demo page", "url", pageURL(addr, spoken.TLS, opts.PathPrefix))
		}
	}
	switch limit := debug.SetMemoryLimit(-1); { // Negative: only asks.
	case container > 0:
		log.Info("memory is limited to three quarters of the container's",
			"bytes", limit, "container", container,
			"hint", "GOMEMLIMIT sets another limit, GOMEMLIMIT=off none")
	case limit < math.MaxInt64:
		log.Info("memory is limited by GOMEMLIMIT", "bytes", limit)
	}
	if opts.Auth == nil && opts.Anonymous == nil {
		warnOfOpenPort(s, log)
	}
}

// warnOfOpenPort is for a gateway that lets everybody do everything.
func warnOfOpenPort(s *gateway.Server, log *slog.Logger) {
	for _, addr := range s.Addrs() {
		if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			log.Warn("listening on all interfaces without authentication: whoever can reach this port can read and write in every room",
				"hint", fmt.Sprintf("--listen localhost:%d for this machine alone", tcp.Port))
			return
		}
	}
}

func pageURL(addr net.Addr, hasTLS bool, prefix string) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	scheme := "http://"
	if hasTLS {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + prefix + "/"
}

// logTotals says what was done, when all is over.
func logTotals(s *gateway.Server, log *slog.Logger, out *logWriter) {
	sum, _ := s.Stats(context.Background()) // It waits for nobody any more, so it cannot fail.
	var closed []any
	for r, n := range sum.Closed {
		if n > 0 {
			closed = append(closed, gateway.CloseReason(r).String(), n)
		}
	}
	log.Info("stopped", "messages", sum.Messages, "published", sum.Published,
		"deliveries", sum.Deliveries, "writes", sum.Writes,
		"owed", sum.Hub.Owed, "skipped", sum.Hub.Skipped, "ended_early", sum.Hub.Ended,
		"refused_writes", sum.Refused, "accepted", sum.Accepted, slog.Group("closed", closed...),
		"ticks", sum.Loop.Ticks, "log_lines_dropped", out.Dropped())
}
