// Package peer is what the servers beside it have in common: a flag, rooms by their paths, and how
// they end.
package peer

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Rooms has a room for each path that was asked for. They stay: who measures comes back to the same
// ones.
type Rooms[R any] struct {
	Make func() *R

	mu     sync.Mutex
	byPath map[string]*R
}

// At returns the path's room, from any goroutine.
func (r *Rooms[R]) At(path string) *R {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.byPath[path]
	if room == nil {
		if r.byPath == nil {
			r.byPath = make(map[string]*R)
		}
		room = r.Make()
		r.byPath[path] = room
	}
	return room
}

// Main runs serve with the address of --listen until SIGTERM or SIGINT, which end the process with
// status 0 and without a farewell to its clients. If serve fails, the process ends with status 1.
func Main(serve func(addr string) error) {
	addr := flag.String("listen", "127.0.0.1:8080", "`address` to serve WebSockets on, at any path, each a room")
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
