package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"golang.org/x/time/rate"
)

// remoteKeys are those of a JWK Set at a URL. keyfunc fetches it every hour, and sooner for a key
// that is not known, but not more often than every refreshEvery: anybody can name any key.
type remoteKeys struct {
	address string
	failed  func(error)

	ctx context.Context // ends when fetching is to end; no client's: one that goes must not keep keys from others
	set keyfunc.Keyfunc // nil before fetch

	failures atomic.Uint64 // of fetches

	mu     sync.Mutex // held while fetching for a key: who comes meanwhile waits for what comes of it
	pace   *rate.Limiter
	absent map[string]bool // ids of keys that the set was fetched for, and that were not in it
}

const (
	refreshEvery   = 10 * time.Second
	refreshTimeout = 5 * time.Second
	refreshRegular = time.Hour
	// absentMax bounds what is remembered of ids, beyond which all of it is forgotten; of one that
	// is longer than absentLen nothing is.
	absentMax = 1024
	absentLen = 128
)

func (r *remoteKeys) fetch(ctx context.Context) (err error) {
	r.ctx, r.pace = ctx, rate.NewLimiter(rate.Every(refreshEvery), 1)
	r.set, err = keyfunc.NewDefaultOverrideCtx(ctx, []string{r.address}, keyfunc.Override{
		Client:            &http.Client{Timeout: refreshTimeout},
		HTTPTimeout:       refreshTimeout,
		RateLimitWaitMax:  refreshTimeout, // Which bounds its request, too.
		RefreshInterval:   refreshRegular,
		RefreshUnknownKID: rate.NewLimiter(rate.Inf, 1), // The pace is ours: who comes too often is refused, and does not wait.
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				r.failures.Add(1)
				if r.failed != nil {
					r.failed(withoutURL(err))
				}
			}
		},
	})
	return withoutURL(err)
}

// keys are those that were fetched last. It does not wait.
func (r *remoteKeys) keys() []key {
	if r.set == nil {
		return nil
	}
	return storedKeys(r.set.Storage(), false)
}

// refresh fetches the set for the sake of a key, unless it was fetched just now. It reports whether
// it can be told of the key whether there is one: not where nothing could be fetched, nor where a
// key that nobody has looked for may have been added since.
func (r *remoteKeys) refresh(id string) (canTell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has(id) {
		return true
	}
	if r.set != nil && r.pace.Allow() {
		before := r.failures.Load()
		_, _ = r.set.Storage().KeyRead(r.ctx, id) // Whether it is there now is for Verify to find.
		if r.failures.Load() == before && !r.has(id) {
			r.miss(id)
		}
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
