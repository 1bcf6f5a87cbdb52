package auth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/gateway"
)

// ServiceOptions say how a Service is asked.
type ServiceOptions struct {
	URL     string
	Headers []string      // of a client's that are passed on; nil: Authorization and Cookie
	Timeout time.Duration // for an answer: 5 s
	// Anonymous lets everybody in as anonymous while the service cannot be asked. Otherwise nobody
	// gets in: 503.
	Anonymous bool
	// Leeway is how far the clocks may be apart when nbf is judged: 10 s; negative: not at all.
	Leeway time.Duration

	Failed func(error)      // hears why it could not be asked; nil: nobody does
	Now    func() time.Time // nil: time.Now
}

// A Service is asked about each request for a room: one HTTP request, POST with
//
//	{"room": "chat.1", "address": "192.0.2.1"}
//
// without a room for a connection of the protocol, which has yet to say which rooms it wants, and
// with its user for one that brings a token for a room; and the client's headers of some names. A
// token goes as Authorization: Bearer, whichever way it came. The answer is 200 with claims in
// JSON; {} grants nothing. 401 and 403 are passed on to the client, 204 is somebody anonymous.
// Anything else, and silence, is a service that is down.
type Service struct {
	options ServiceOptions
	client  *http.Client
}

const (
	serviceTimeout = 5 * time.Second
	answerMax      = 64 << 10
	idleMax        = 64 // connections kept to the service
)

// NewService returns a Service, which is not asked yet.
func NewService(o ServiceOptions) (*Service, error) {
	if err := checkURL(o.URL); err != nil {
		return nil, err
	}
	for _, name := range o.Headers {
		if slices.ContainsFunc(notPassedOn, func(no string) bool { return strings.EqualFold(no, name) }) || !isHeaderName(name) {
			return nil, fmt.Errorf("%q is no header that can be passed on", name)
		}
	}
	if o.Headers == nil {
		o.Headers = []string{"Authorization", "Cookie"}
	}
	if o.Timeout <= 0 {
		o.Timeout = serviceTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Leeway = leewayOf(o.Leeway)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = idleMax
	return &Service{options: o, client: &http.Client{
		Transport: transport, Timeout: o.Timeout,
		// Where else it would lead is nobody's to whom headers were to be passed on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// notPassedOn are headers of one connection, and those that are set here.
var notPassedOn = []string{
	"Connection", "Content-Length", "Content-Type", "Host", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
}

// isHeaderName reports whether a header can have this name (RFC 9110 §5.1).
func isHeaderName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		isWord := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !isWord && !strings.ContainsRune(marks, r)
	}) < 0
}

// Close ends connections to the service that are idle.
func (s *Service) Close() { s.client.CloseIdleConnections() }

// Headers implements gateway.Authenticator.
func (s *Service) Headers() []string { return s.options.Headers }

// Judge implements gateway.Authenticator: the service knows.
func (s *Service) Judge(*gateway.Handshake) (gateway.Principal, error) {
	return gateway.Principal{}, gateway.ErrAsk
}

// Ask implements gateway.Authenticator.
func (s *Service) Ask(ctx context.Context, h *gateway.Handshake) (gateway.Principal, error) {
	who, err := s.ask(ctx, h)
	denied := new(gateway.AuthError)
	if err == nil || errors.As(err, &denied) {
		return who, err
	}
	if s.options.Failed != nil && ctx.Err() == nil { // Or nobody waits for it any more.
		s.options.Failed(withoutURL(err))
	}
	if s.options.Anonymous && !h.IsSubscription { // A token for a room is of somebody who is in already.
		return gateway.Principal{}, nil
	}
	return gateway.Principal{}, &gateway.AuthError{
		Status: http.StatusServiceUnavailable, Text: "It cannot be said at the moment who you are: the service that knows does not answer.",
	}
}

func (s *Service) ask(ctx context.Context, h *gateway.Handshake) (who gateway.Principal, err error) {
	about := map[string]string{}
	if h.Room != "" {
		about["room"] = h.Room
	}
	if h.IsSubscription {
		about["user"] = h.Subject
	}
	if h.Address.IsValid() {
		about["address"] = h.Address.String()
	}
	body, err := json.Marshal(about)
	if err != nil {
		return who, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL, bytes.NewReader(body))
	if err != nil {
		return who, err
	}
	for name, values := range h.Header {
		r.Header[name] = values
	}
	if h.Token != "" && slices.ContainsFunc(s.options.Headers, func(name string) bool { return strings.EqualFold(name, "Authorization") }) {
		r.Header.Set("Authorization", "Bearer "+h.Token)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return who, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMax+1))
	if err != nil {
		return who, err
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return s.read(text, h)
	case http.StatusNoContent:
		return who, nil
	case http.StatusUnauthorized:
		return who, &gateway.AuthError{Status: http.StatusUnauthorized, Text: "The service that knows who you are says no."}
	case http.StatusForbidden:
		return who, &gateway.AuthError{Status: http.StatusForbidden, Text: "The service that knows who you are forbids it."}
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		// It has too much to do, which is no client's fault.
		return who, fmt.Errorf("it answered with status %d", answer.StatusCode)
	}
	if answer.StatusCode/100 == 4 { // It is up, and does not like what this client brings.
		return who, &gateway.AuthError{Status: http.StatusForbidden, Text: "The service that knows who you are does not take your request."}
	}
	return who, fmt.Errorf("it answered with status %d", answer.StatusCode)
}

// read makes a principal of an answer. What is said of a subscription is of the room and the user
// that the service was asked about, unless it names others. It grants what is in it, there too: a
// service may look at the token alone, and say of any room what its user may do in others.
func (s *Service) read(text []byte, h *gateway.Handshake) (who gateway.Principal, err error) {
	if len(text) > answerMax {
		return who, fmt.Errorf("its answer has more than %d bytes", answerMax)
	}
	claims := new(Claims)
	if err := json.Unmarshal(text, claims); err != nil {
		return who, errors.New("its answer is not claims in JSON") // The error may tell what is in it.
	}
	if err := claims.Validate(); err != nil {
		return who, fmt.Errorf("its answer is not to be used: %w", err)
	}
	if h.IsSubscription {
		claims.Subject = cmp.Or(claims.Subject, h.Subject)
	}
	who = claims.principal(0)
	if h.IsSubscription { // Not as its channel, which would grant something that the service has not.
		who.Room = cmp.Or(who.Room, h.Room)
	}
	now := s.options.Now()
	if claims.NotBefore != nil && now.Add(s.options.Leeway).Before(claims.NotBefore.Time) {
		return who, &gateway.AuthError{Status: http.StatusUnauthorized, Text: "What the service that knows who you are says is not valid yet."}
	}
	if who.Expires != 0 && who.Expires <= now.Unix() {
		return who, &gateway.AuthError{Status: http.StatusUnauthorized, Text: "What the service that knows who you are says has expired.", IsExpired: true}
	}
	return who, nil
}

var _ gateway.Authenticator = (*Service)(nil)
