package gateway

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// reloadable are the fields of Options that Reload changes. Others shape what was made once: loops,
// listeners, rooms' memory.
var reloadable = []string{
	"Pages", "AllowOrigin", "AllowHost", "Subprotocols", "TrustedProxy", "ForwardedHeader",
	"MaxConnections", "MaxHead", "HeadMemory", "MaxMessage", "MaxPerAddress", "ConnectRate", "MaxRooms", "MaxSubscriptions", "ReplyBacklog",
	"MaxFragments", "AssemblyMemory", "TLSHandshakes", "TLSPairs", "TLSClientCA",
	"FrameRate", "PingRate", "MessageRate", "InflateRate", "ByteRate", "SlowPolicy",
	"HandshakeTimeout", "AssemblyTimeout", "PingInterval", "PongTimeout", "StallTimeout", "SkipTimeout",
	"CloseTimeout", "DrainTimeout", "DrainDelay", "Anonymous", "MaxLifetime", "PathPrefix", "AuthCookie", "AuthRequests",
	"Rooms", "History", "NoCompression", "CompressMin", "CloseOnOutage",
}

// Reload makes the server go on by other options, and returns the names of fields that differ and
// only another Server could take: these stay as they were. After an error nothing has changed. When
// it returns every loop goes by the new ones, each since a moment between two connections' turns,
// and everybody who is there.
//
// Certificates and authorities may be in other files, as long as there are some: the next handshake
// goes by them. What has begun goes on as it began: a message under way keeps its limits, a wait
// its time, a connection its compression, and who is in a room stays there. Slow policies, rates
// and leave to publish count at once for everybody who is there.
func (s *Server) Reload(o Options) (needsRestart []string, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	now := s.config()
	next := &config{Options: o, tuning: now.tuning, memory: now.memory}
	if err := next.prepare(); err != nil {
		return nil, err
	}
	needsRestart = next.keep(now, s.sourcesMax)
	if len(needsRestart) > 0 {
		if err := next.prepare(); err != nil {
			return nil, fmt.Errorf("%s can only change with a restart, and what they are does not go with the rest: %w",
				strings.Join(needsRestart, ", "), err)
		}
	}
	put, err := s.certificates.change(next)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if err := s.take(next); err != nil {
		return nil, err
	}
	put()
	return needsRestart, nil
}

// keep takes from the present config what cannot change, and names what would have differed.
func (c *config) keep(now *config, sourcesMax int) (kept []string) {
	to, from := reflect.ValueOf(&c.Options).Elem(), reflect.ValueOf(&now.Options).Elem()
	hasPairs := len(c.TLSPairs) > 0 && len(now.TLSPairs) > 0
	for _, f := range reflect.VisibleFields(to.Type()) {
		a, b := to.FieldByIndex(f.Index), from.FieldByIndex(f.Index)
		canChange := slices.Contains(reloadable, f.Name)
		switch f.Name {
		case "MaxConnections":
			canChange = c.sourcesMax() <= sourcesMax
		case "History": // A hub that was made without any has no memory for it.
			canChange = len(now.History) > 0 || len(c.History) == 0
		case "TLSPairs", "TLSClientCA": // Listeners speak TLS or do not, and files are watched or are not.
			canChange = hasPairs
		}
		if canChange {
			continue
		}
		isFunc := f.Type.Kind() == reflect.Func // Of which nobody knows whether they are the same.
		if isFunc && a.IsNil() != b.IsNil() || !isFunc && !reflect.DeepEqual(a.Interface(), b.Interface()) {
			kept = append(kept, f.Name)
		}
		a.Set(b)
	}
	return kept
}

// take makes everything go by a config that was prepared.
func (s *Server) take(next *config) error {
	s.mu.Lock()
	phase := s.phase
	if phase == phaseClosed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.live.Store(next)
	s.admission.cfg.Store(next)
	s.hub.SetRoomsMax(next.MaxRooms)
	s.hub.TakeHistories()
	s.judgesHosts.Store(s.needsHosts())
	if phase == phaseMade { // No loop runs, and none begins to meanwhile.
		for _, w := range s.workers {
			w.take(next)
		}
	}
	s.mu.Unlock()
	if phase == phaseMade {
		return nil
	}
	ctx, cancel := s.whileRunning(context.Background())
	defer cancel()
	if err := s.onEachLoop(ctx, func(w *worker) { w.take(next) }); err != nil {
		return err
	}
	return s.follow(ctx)
}

// policiesAtATime is for how many rooms a loop asks for the policy in one tick.
const policiesAtATime = 256

// follow has rooms and connections follow the config that the loops have taken, some in each tick.
func (s *Server) follow(ctx context.Context) error {
	for some := range slices.Chunk(slices.Collect(s.hub.All), policiesAtATime) {
		if err := s.onEachLoop(ctx, func(w *worker) { w.fan.TakePolicies(some) }); err != nil {
			return err
		}
	}
	for isDone := false; !isDone; {
		var left atomic.Int32 // loops that have more connections
		err := s.onEachLoop(ctx, func(w *worker) {
			if !w.review() {
				left.Add(1)
			}
		})
		if err != nil {
			return err
		}
		isDone = left.Load() == 0
	}
	return nil
}

// review has connections follow the config, for as long as a tick has for it, and reports whether
// all have. Those that come meanwhile do so from the start.
func (w *worker) review() (isDone bool) {
	until := w.loop.Elapsed() + w.cfg.walkTime
	for t, source := range w.loop.SourcesAfter(w.reviewed) {
		w.reviewed = t
		if c, ok := source.(*conn); ok {
			c.review()
			c.reviewPresence()
		}
		if w.loop.Elapsed() >= until {
			return false
		}
	}
	return true
}

// take makes the worker go on by another config. What a connection has begun by the one before it
// finishes so: a message by its limits, a wait by its time.
func (w *worker) take(cfg *config) {
	w.cfg, w.reviewed = cfg, 0
	w.encoder.setTo(cfg)
	w.inputBudget.limit, w.inputBudget.pace = cfg.assemblyShare(), cfg.assemblyPace()
	w.headBudget.limit = cfg.headShare()
	w.replyBudget.limit = cfg.replyShare()
	w.decoder = w.newDecoder() // Between two turns it holds nothing.
	for _, source := range w.loop.Sources {
		if l, ok := source.(*listener); ok && l.isTCP {
			cfg.setOptions(w.kernel, l.fd)
		}
	}
}

// ReloadCertificates reads the files of Options.TLSPairs and TLSClientCA anew. Handshakes that
// begin from then on go by them; connections that are there stay. If one of them is no good all
// stays as it was, and the error says why. By itself the server looks every second whether a file
// has changed.
func (s *Server) ReloadCertificates() error {
	if s.certificates.current.Load() == nil {
		return errors.New("gateway: there are no certificates to read anew")
	}
	return s.certificates.reload()
}

// watchCertificates reads the files anew when they change, and says which certificates clients
// refuse for their dates, until ctx ends.
func (s *Server) watchCertificates(ctx context.Context, every time.Duration) {
	looks := time.NewTicker(every)
	defer looks.Stop()
	for {
		for _, c := range s.certificates.outOfDate(s.config().wallClock()) {
			s.log.Warn("clients refuse a certificate: its time is over, or has not come", "file", c.file, "from", c.NotBefore, "until", c.NotAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		if !s.certificates.hasChanged() {
			continue
		}
		if err := s.ReloadCertificates(); err != nil {
			s.log.Error("cannot use the new certificates, going on with those from before", "error", err)
		} else {
			s.log.Info("certificates were replaced")
		}
	}
}
