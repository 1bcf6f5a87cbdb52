package gateway

import (
	"context"
	"errors"
)

// A readiness says whether new clients should be sent here, and if not, why. Those that are here
// are served whatever it is.
type readiness uint8

const (
	isReady readiness = iota
	isNotServing
	isDraining
	isFull
	isShortOfMemory
	isCutOff
	readinessCount
)

// readinesses are what is answered. A full gateway refuses whoever connects, a health check by a
// connection of its own too, so one that comes by an older connection is not to hear otherwise.
var readinesses = [readinessCount]struct {
	text   string
	answer health
	err    error
}{
	isReady:         {text: "ok"},
	isNotServing:    {text: "not serving"},
	isDraining:      {text: "draining"},
	isFull:          {text: "full: as many connections as --max-connections allows"},
	isShortOfMemory: {text: "short of memory: no new connections"},
	isCutOff:        {text: "the cluster cannot be reached"},
}

func init() {
	for i := range readinesses {
		r := &readinesses[i]
		if readiness(i) == isReady {
			r.answer = newHealth("200 OK", r.text)
			continue
		}
		r.answer, r.err = newHealth("503 Service Unavailable", r.text), errors.New("gateway: "+r.text)
	}
}

func (s *Server) readiness() readiness {
	switch {
	case s.isLeaving.Load():
		return isDraining
	case !s.isOpen.Load():
		return isNotServing
	case s.open.Load() >= int64(s.config().MaxConnections):
		return isFull
	case s.pressure.step() >= stepConnections:
		return isShortOfMemory
	case s.follows() && s.cluster.Ready() != nil:
		return isCutOff
	}
	return isReady
}

// Ready returns nil while new clients should be sent here, and otherwise why not: the server does
// not serve, a drain was asked for, it refuses all new connections, or its Cluster cannot be
// reached. GET /readyz tells the same.
func (s *Server) Ready() error { return readinesses[s.readiness()].err }

// takeLeave says to whoever asks that no new clients are wanted, and goes on serving for
// Options.DrainDelay, in which balancers find that out.
func (s *Server) takeLeave(ctx context.Context) error {
	s.isLeaving.Store(true)
	if s.config().DrainDelay == 0 || !s.isOpen.Load() {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, s.config().DrainDelay)
	defer cancel()
	<-wait.Done()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
