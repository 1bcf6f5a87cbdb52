// Package peer is what the servers beside it have in common: a flag, and how they end.
package peer

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
)

// Main runs serve with the address of --listen until SIGTERM or SIGINT, which end the process with status 0 and without a
// farewell to its clients. If serve fails, the process ends with status 1.
func Main(serve func(addr string) error) {
	addr := flag.String("listen", "127.0.0.1:8080", "`address` to serve WebSockets on, at any path")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- serve(*addr) }()
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-ctx.Done():
	}
}
