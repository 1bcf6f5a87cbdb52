//go:build linux

package simclient

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/centrifugal/protocol"
)

// TokensStream keeps what DrawTokens draws apart from all else.
const TokensStream = 107

// DrawTokens draws whether there are subscribers that say who they are, and whether they ask who is
// in a room. Where they may be told that is kept.
func (p *Plan) DrawTokens(r *rand.Rand) {
	if p.Subscribers.Number > 0 {
		p.HasTokens, p.AsksWho = r.IntN(3) > 0, r.IntN(2) == 0
		p.KeepsAttendance = p.KeepsAttendance || p.HasTokens && p.AsksWho
	}
}

// giveTokens draws who has tokens, for how long each is good, and who forgets to bring another.
func (w *World) giveTokens(r *rand.Rand) {
	for _, s := range w.Subscribers {
		if r.IntN(4) > 0 {
			s.lasts, s.isCareless, s.isImpostor = 2+r.IntN(3), r.IntN(3) == 0, r.IntN(4) == 0
		}
	}
}

// A Token says who a subscriber is, and until when.
type Token struct {
	Subject string
	Expires int64 // in seconds by the kernel's clock
}

func (t Token) String() string { return fmt.Sprintf("%d@%s", t.Expires, t.Subject) }

// ParseToken is the token that a text is; not ok: it is none.
func ParseToken(text string) (t Token, ok bool) {
	n, err := fmt.Sscanf(text, "%d@%s", &t.Expires, &t.Subject)
	return t, err == nil && n == 2
}

// IsOver says whether the token's time is.
func (t *Token) IsOver(now time.Duration) bool { return now >= time.Duration(t.Expires)*time.Second }

// Subject is what the subscriber's tokens call it; empty: it has none.
func (s *Subscriber) Subject() string {
	if s.lasts == 0 {
		return ""
	}
	return fmt.Sprintf("subscriber%d", s.No)
}

// newToken is another token of the subscriber's; one that is stale is over.
func (s *Subscriber) newToken(isStale bool) *Token {
	t := &Token{Subject: s.Subject(), Expires: int64(s.w.Kernel.Now() / time.Second)}
	switch {
	case isStale:
	case s.isPatient: // Or it would have time for nothing but tokens.
		t.Expires += 60
	default:
		t.Expires += int64(s.lasts)
	}
	return t
}

// greet is the command to connect, with a token that is over now and then.
func (s *Socket) greet() *Asked {
	a, r := &Asked{Command: &protocol.Command{Connect: &protocol.ConnectRequest{}}}, s.Subscriber
	if r.lasts > 0 {
		a.Token = r.newToken(!r.w.IsHealing && r.w.Random.IntN(8) == 0)
		a.Command.Connect.Token = a.Token.String()
	}
	return s.sends(a)
}

// refresh brings another token when it is time, or one that is none of its own, or over; nil: it is
// not.
func (s *Socket) refresh() *Asked {
	r := s.Subscriber
	calm := r.w.IsHealing
	if s.refreshAt == 0 || r.w.Kernel.Now() < s.refreshAt || r.isCareless && !calm {
		return nil
	}
	s.refreshAt = 0
	t := r.newToken(!calm && r.w.Random.IntN(8) == 0)
	if r.isImpostor {
		r.isImpostor, t.Subject = false, "somebody"
	}
	return s.sends(&Asked{Command: &protocol.Command{Refresh: &protocol.RefreshRequest{Token: t.String()}}, Token: t})
}

// takeToken notes by which token the subscriber is known now, and for how many seconds it is told
// that this is good.
func (s *Socket) takeToken(a *Asked, expires bool, ttl uint32) {
	t, now := a.Token, s.Subscriber.w.Kernel.Now()
	if t == nil {
		if expires || ttl != 0 {
			s.Fail("it has no token, and is told that it is good for %d s: %v", ttl, expires)
		}
		return
	}
	least, most := t.Expires-int64(now/time.Second), t.Expires-int64(a.At/time.Second)
	switch got := int64(ttl); {
	case t.Subject != s.Subscriber.Subject():
		s.Fail("it goes on by a token of %s", t.Subject)
	case !expires || got < max(1, least) || got > most:
		s.Fail("its token is good until %d, and it is told %d s, expires: %v; now %v", t.Expires, ttl, expires, now)
	}
	if a.Command.Refresh != nil {
		s.Subscriber.Refreshed++
	}
	s.Token, s.refreshAt = t, now+time.Duration(ttl)*time.Second
}

// Brought are tokens that it has brought and not been answered about.
func (s *Socket) Brought() (all []*Token) {
	for _, a := range s.asked {
		if a.Token != nil {
			all = append(all, a.Token)
		}
	}
	return all
}
