package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
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

	mu   sync.Mutex // held while fetching for a key: who comes meanwhile waits for what comes of it
	pace *rate.Limiter
}

const (
	refreshEvery   = 10 * time.Second
	refreshTimeout = 5 * time.Second
	refreshRegular = time.Hour
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

// refresh fetches the set for the sake of a key, unless it was fetched just now. It reports false
// where there has never been any.
func (r *remoteKeys) refresh(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys() {
		if k.id == id {
			return true
		}
	}
	if r.set != nil && r.pace.Allow() {
		_, _ = r.set.Storage().KeyRead(r.ctx, id) // Whether it is there now is for Verify to find.
	}
	return len(r.keys()) > 0
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
