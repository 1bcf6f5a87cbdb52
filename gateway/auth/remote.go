package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// remoteKeys are those of a JWK Set at a URL. It is fetched every refreshRegular, and sooner for a
// key that is not known, but not more often than every refreshEvery: anybody can name any key.
type remoteKeys struct {
	address string
	failed  func(error)

	client *http.Client
	set    atomic.Pointer[[]key] // as it was fetched last; nil: it was not

	mu      sync.Mutex    // held while fetching: who comes meanwhile waits for what comes of it
	request *http.Request // nil before fetch; its context ends when fetching is to end, and is no client's: one that goes must not keep keys from others
	pace    *rate.Limiter
	absent  map[string]bool // ids of keys that the set was fetched for and that are not in it, if that has not failed since
}

const (
	// refreshEvery is for how long clients are refused by a key that was looked for too early: it
	// is published behind the first token that it has signed, maybe.
	refreshEvery   = 2 * time.Second
	refreshTimeout = 5 * time.Second
	refreshRegular = time.Hour
	// absentMax bounds what is remembered of ids, beyond which all of it is forgotten; of one that
	// is longer than absentLen nothing is.
	absentMax = 1024
	absentLen = 128
)

func newRemoteKeys(address string, failed func(error)) *remoteKeys {
	return &remoteKeys{
		address: address, failed: failed, pace: rate.NewLimiter(rate.Every(refreshEvery), 1),
		client: &http.Client{Timeout: refreshTimeout, CheckRedirect: staysWithin},
	}
}

// staysWithin follows a redirect where http's own rule does, but never out of TLS: whoever is on
// the way could hand over keys of their own.
func staysWithin(next *http.Request, past []*http.Request) error {
	switch {
	case next.URL.Scheme != "https" && past[0].URL.Scheme == "https":
		return errors.New("it redirects from https to " + next.URL.Scheme)
	case len(past) >= 10:
		return errors.New("it redirects ten times")
	}
	return nil
}

// fetch fetches the set, and goes on to in the background.
func (r *remoteKeys) fetch(ctx context.Context) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.request, err = http.NewRequestWithContext(ctx, http.MethodGet, r.address, nil); err != nil {
		return withoutURL(err)
	}
	r.get()
	go r.goOn(ctx)
	return nil
}

func (r *remoteKeys) goOn(ctx context.Context) {
	regular := time.NewTicker(refreshRegular)
	defer regular.Stop()
	for {
		select {
		case <-regular.C:
			r.mu.Lock()
			r.get()
			r.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// get fetches the set, and reports whether it has. The caller holds r.mu.
func (r *remoteKeys) get() bool {
	keys, err := r.read()
	switch {
	case err == nil && len(keys) > 0:
		r.set.Store(&keys)
		return true
	case err == nil: // Those that were there count no more.
		r.set.Store(&keys)
		err = errNoneVerifies
	}
	clear(r.absent) // What was not there then may be there now.
	isOver := r.request.Context().Err() != nil
	if r.failed != nil && !isOver {
		r.failed(withoutURL(err))
	}
	return false
}

func (r *remoteKeys) read() ([]key, error) {
	answer, err := r.client.Do(r.request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, setMax+1))
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answered with status %d", answer.StatusCode)
	case len(text) > setMax:
		return nil, fmt.Errorf("its answer has more than %d bytes", setMax)
	}
	return parseSet(text, false)
}

// keys are those that were fetched last. It does not wait.
func (r *remoteKeys) keys() []key {
	if set := r.set.Load(); set != nil {
		return *set
	}
	return nil
}

// refresh fetches the set for the sake of a key, unless it was fetched just now. It reports whether
// it can be told of the key whether there is one: not where nothing could be fetched, nor where a
// key that nobody has looked for may have been added since.
func (r *remoteKeys) refresh(id string) (canTell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.has(id) && r.request != nil && r.pace.Allow() {
		if r.get() && !r.has(id) {
			r.miss(id)
		}
		r.pace.Allow() // If it took as long, who has waited meanwhile is not to wait for another.
	}
	return r.has(id) || r.has("") && r.absent[id]
}

// has reports whether there is a key of an id; of none, any key.
func (r *remoteKeys) has(id string) bool {
	return slices.ContainsFunc(r.keys(), func(k key) bool { return id == "" || k.id == id })
}

// miss remembers that there is no key of an id.
func (r *remoteKeys) miss(id string) {
	if len(id) > absentLen {
		return
	}
	if r.absent == nil || len(r.absent) == absentMax {
		r.absent = map[string]bool{}
	}
	r.absent[strings.Clone(id)] = true // Or its whole token would be kept.
}

// withoutURL is an error of net/http without the address in it, which may have a password.
func withoutURL(err error) error {
	if inner := new(url.Error); errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// checkURL says what is wrong with the address of a service.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" {
		return errors.New("it is no address that begins with https:// or http://, and has no #")
	}
	return nil
}
