//go:build linux

package gateway

import (
	"context"
	"net/http"
	"testing"
	"time"

	"sluice/gateway/internal/simclient"
	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/reactor/reactortest"
)

// tokenSeeds are all seeds in which nobody says who it is, and nobody asks who is in a room. Of
// those behind them not every one is the same run twice: the protocol's library writes who is in a
// room in an order that no seed decides.
const tokenSeeds = 1_000_000

// TestSimulationOfTokens is TestSimulation with subscribers whose tokens are over after a while,
// that bring others, and that ask who is in a room.
func TestSimulationOfTokens(t *testing.T) {
	if !proctest.Alone(t) {
		return
	}
	n := 60
	if testenv.IsWholeSize(t) {
		n = 600
	}
	var all subscriberTally
	for i := range n {
		all.add(mustRun(t, tokenSeeds+1+uint64(i)))
	}
	t.Logf("subscribers: %v", &all)
	if min(all.whos, all.counts, all.expired, all.refreshed) == 0 {
		t.Error("no seed says anything about something that tokens are for")
	}
}

// simGrace is for how long a subscriber goes on whose token is over.
const simGrace = time.Second

// everywhere is what everybody may do in worlds where some say who they are.
var everywhere = []Grant{{Rooms: []string{"*"}, May: everything}}

// A simAuth believes every token until that is over, by the simulated clock.
type simAuth struct{ kernel *reactortest.Sim }

func (a simAuth) Judge(h *Handshake) (Principal, error) {
	if h.Token == "" {
		return Principal{}, nil
	}
	t, ok := simclient.ParseToken(h.Token)
	switch {
	case !ok:
		return Principal{}, &AuthError{Status: http.StatusUnauthorized, Text: "It is none."}
	case t.IsOver(a.kernel.Now()):
		return Principal{}, &AuthError{Status: http.StatusUnauthorized, Text: "It is over.", IsExpired: true}
	}
	return Principal{Kind: KindToken, Subject: t.Subject, Grants: everywhere, Expires: t.Expires}, nil
}

func (simAuth) Ask(context.Context, *Handshake) (Principal, error) { return Principal{}, ErrAsk }

func (simAuth) Headers() []string { return nil }

// endOfToken is when a connection has to end by a token that is not followed by another.
func endOfToken(t *simclient.Token) time.Duration {
	return time.Duration(t.Expires)*time.Second + simGrace
}

// mayExpire says whether a token is over by which it may be known, or that it has brought to go on
// with.
func (s *simSocket) mayExpire(now time.Duration) bool {
	if s.Token != nil && now >= endOfToken(s.Token) {
		return true
	}
	for _, t := range s.Brought() {
		if t.IsOver(now) {
			return true
		}
	}
	return false
}

// bringsAnothers says whether it has brought somebody else's token.
func (s *simSocket) bringsAnothers() bool {
	for _, t := range s.Brought() {
		if t.Subject != s.Subscriber.Subject() {
			return true
		}
	}
	return false
}

// tokenMargin is how much later than at its time a loop may look at a connection.
const tokenMargin = 100 * time.Millisecond

// inspectToken looks whether a connection goes on by a token that is over. The loop's clock may
// have stood still, and the connection may not know yet that another one was taken.
func (w *world) inspectToken(l *simLoop, v *connView) {
	s := v.socket
	if s == nil || s.Token == nil || w.wasPaused || v.c.life != open || len(s.Brought()) > 0 {
		return
	}
	if now := l.w.loop.Now(); now >= endOfToken(s.Token)+tokenMargin {
		w.Fail("connection %d goes on at %v by a token that is good until %d", v.link, now, s.Token.Expires)
	}
}
