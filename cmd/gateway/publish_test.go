package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answers are an admin listener's, one request after the other; the last one is repeated.
type answers struct {
	list  []string
	after time.Duration
	keys  []string // what the requests came under, and the message
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	message, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	time.Sleep(a.after) // Of a bubble, which takes none.
	text := a.list[min(len(a.keys), len(a.list)-1)]
	a.keys = append(a.keys, r.Header.Get("Idempotency-Key")+" "+string(message))
	answer := &http.Response{StatusCode: 503, Status: "503", Header: http.Header{"Retry-After": {"1"}}, Request: r}
	if text == "" {
		answer.StatusCode, text = 200, `{"members":1}`
	} else {
		text = `{"error":{"code":"` + text + `","message":"` + text + `"}}`
	}
	answer.Body = io.NopCloser(strings.NewReader(text))
	return answer, nil
}

// What may be published although nobody said so is sent again under its first key, and each message
// has its own.
func TestSendRepeatsUnderOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{list: []string{"room_full", "unacknowledged", "", "unacknowledged", ""}}
		p := publisher{client: &http.Client{Transport: a}, url: "http://admin/"}
		for range 2 {
			if err := p.post([]byte("same")); err != nil {
				t.Fatal(err)
			}
		}
		k := a.keys
		if len(k) != 5 || k[0] != k[1] || k[1] != k[2] || k[2] == k[3] || k[3] != k[4] {
			t.Errorf("came under %q", k)
		}
		for _, one := range k {
			if key, message, _ := strings.Cut(one, " "); len(key) < 20 || message != "same" {
				t.Errorf("came under %q", one)
			}
		}
	})
}

// It ends before the key is forgotten, which would publish the message twice. A full room is waited
// for to the last try.
func TestSendRepeatsNoLongerThanItsKeyIsRemembered(t *testing.T) {
	for _, c := range []struct {
		code  string
		after time.Duration // of each answer
		tries int
	}{
		{"unacknowledged", 10 * time.Second, 7}, // The last one 56 seconds behind the first answer.
		{"room_full", 10 * time.Second, publishTries},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{list: []string{c.code}, after: c.after}
			p := publisher{client: &http.Client{Transport: a}, url: "http://admin/"}
			if err := p.post([]byte("x")); err == nil || !strings.Contains(err.Error(), c.code) {
				t.Errorf("%s: %v", c.code, err)
			}
			if len(a.keys) != c.tries {
				t.Errorf("%s: tried %d times, want %d", c.code, len(a.keys), c.tries)
			}
		})
	}
}
