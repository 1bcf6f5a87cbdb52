package gateway

import (
	"errors"
	"net/http"

	"sluice/gateway/centrifuge"
)

// A client of the protocol says who it is by a token in its command to connect, or else by what its
// upgrade brought, as a client without a protocol does. Tokens are judged on the loop where that is
// possible at once; where somebody has to be asked, the command and those behind it wait.
//
//	what is wrong with a token                  connect      refresh      subscribe, sub_refresh
//	its time is over                            error 109    close 3005   error 109
//	it is by no key of ours, or none            close 3500   close 3500   error 103
//	it is somebody else's, or of another room   –            close 3500   close 3500
//	whom it names may not                       error 103    error 103    error 103
//	nobody can tell at the moment               error 100    error 100    error 100

// judgedTurn is how many tokens a turn judges: signatures take long.
const judgedTurn = 8

// judge tells who is behind what a command says; nil: that is not known.
func (s *subscriber) judge(o *order, h *Handshake) (who *Principal, done orderStep, err error) {
	answer := o.answer
	switch {
	case answer != nil:
	case s.w.isBrief:
		s.standInLine()
		return nil, stepWaits, nil
	default:
		s.w.judged++
		s.w.inflated += s.w.cfg.costlyWork // It is work of the same kind.
		answer = new(verdict)
		answer.who, answer.err = s.w.cfg.Auth.Judge(h)
		if errors.Is(answer.err, ErrAsk) {
			return nil, s.ask(&question{desk: &s.w.server.desk, handshake: h}), nil
		}
	}
	switch {
	case answer.err != nil:
		return nil, stepDone, answer.err
	case answer.who.Kind == KindAnonymous:
		return nil, stepDone, nil
	}
	answer.who.Kind = KindToken // No client is a backend, whatever an authenticator says.
	return &answer.who, stepDone, nil
}

// identify tells by a command to connect who the client is; nil: it is not known, and may do
// something all the same. If it is not let in, done says how that ended.
func (s *subscriber) identify(o *order) (who *Principal, isIn bool, done orderStep) {
	cfg := s.w.cfg
	if cfg.Auth == nil {
		return nil, true, stepDone
	}
	h := *s.handshake
	if o.Connect.Token != "" {
		h.Token = o.Connect.Token
	}
	who, done, err := s.judge(o, &h)
	switch {
	case done != stepDone:
		return nil, false, done
	case err != nil:
		return nil, false, s.refuse(o, err, ClosedBadToken)
	case who == nil && len(cfg.anonymous.Grants) == 0:
		return nil, false, s.fail(o, centrifuge.ErrorUnauthorized)
	}
	return who, true, stepDone
}

// refuse answers a command whose token was refused. One that is not good ends the connection for a
// reason, if there is one.
func (s *subscriber) refuse(o *order, err error, bad CloseReason) orderStep {
	denied := new(AuthError)
	switch isKnown := errors.As(err, &denied); {
	case !isKnown:
		return s.fail(o, centrifuge.ErrorInternal)
	case denied.IsExpired:
		return s.fail(o, centrifuge.ErrorTokenExpired)
	case denied.Status == http.StatusUnauthorized && bad != 0:
		return s.disbelieve(denied.Text)
	case denied.Status == http.StatusUnauthorized, denied.Status == http.StatusForbidden:
		return s.fail(o, centrifuge.ErrorPermissionDenied)
	}
	return s.fail(o, centrifuge.ErrorInternal)
}

// disbelieve ends the connection for a token. detail is in words that have nothing of it.
func (s *subscriber) disbelieve(detail string) orderStep {
	s.sendReplies()
	s.logAbuse(ClosedBadToken, detail)
	code, text := s.wordsFor(ClosedBadToken)
	s.closeWith(ClosedBadToken, code, text)
	return stepEnded
}

// become makes the connection that of whom a token names, for as long as that says.
func (s *subscriber) become(who *Principal) {
	s.who, s.info = who, ""
	s.know(who)
	s.expireBehind(who)
}

// permit tells what a token for a room gives to the client. If it is not ok, done says how that
// ended.
func (s *subscriber) permit(o *order, room, token string) (p permit, ok bool, done orderStep) {
	if token == "" || s.w.cfg.Auth == nil {
		return permit{}, true, stepDone
	}
	var err error
	if o.answer.wasJudged() { // It was judged before what the room keeps was made.
		p.who = &o.answer.who
	} else {
		h := &Handshake{Room: room, Token: token, Address: s.address(), IsSubscription: true, Subject: s.principal().Subject}
		p.who, done, err = s.judge(o, h)
	}
	switch {
	case done != stepDone:
		return p, false, done
	case err != nil:
		return p, false, s.refuse(o, err, 0)
	case p.who == nil:
		return p, false, s.fail(o, centrifuge.ErrorPermissionDenied)
	case p.who.Room != room:
		return p, false, s.disbelieve("the token is for another room, or for none")
	case p.who.Subject != s.principal().Subject:
		return p, false, s.disbelieve("the token for a room is somebody else's")
	}
	p.granted = p.who.granted(room)
	return p, true, stepDone
}
