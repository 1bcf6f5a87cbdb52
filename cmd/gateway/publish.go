package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	publishTime  = 30 * time.Second // for the answer to one request
	publishTries = 60               // of one message: a second each, where a room is full
	answerMax    = 64 << 10

	// publishRepeats is how long a message that may be published already is sent again. Gateways
	// remember its key for two minutes.
	publishRepeats = time.Minute
)

// A publisher has the admin listener publish, a message with each request.
type publisher struct {
	client      *http.Client
	url         string
	key         string // empty: none is needed
	contentType string
}

// publish sends what there is to read as a backend does.
func (c *sendCommand) publish(from io.Reader) error {
	if err := roomFault(c.Room); err != nil {
		return err
	}
	where, err := parseEndpoint(c.Admin, "http", "")
	if err != nil {
		return usageError{err}
	}
	p := publisher{url: where.JoinPath("api", "rooms", url.PathEscape(c.Room), "messages").String(), contentType: "text/plain; charset=utf-8"}
	if c.Binary {
		p.contentType = "application/octet-stream"
	}
	if p.client, err = where.client(&c.Trust); err == nil && c.KeyFile != "" {
		p.key, err = firstKey(c.KeyFile)
	}
	if err != nil {
		return usageError{err}
	}
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // The key is for nobody else.
	p.client.Transport.(*http.Transport).DisableKeepAlives = false
	defer p.client.CloseIdleConnections()
	n := 0
	err = c.each(from, func(message []byte) error {
		n++
		if err := p.post(message); err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		return nil
	})
	return err
}

// firstKey is the first key of a file such as --admin-key-file names.
func firstKey(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			return words[0], nil
		}
	}
	return "", fmt.Errorf("--key-file %s: there is no key in it", name)
}

// post publishes one message, and waits where it is told to come again. All tries have one key, so
// that it is published once even if one of them was not acknowledged and is in all the same.
func (p *publisher) post(message []byte) error {
	key := rand.Text()
	useful := context.Background() // until the key may be forgotten
	for try := 1; ; try++ {
		again, isUnsure, err := p.try(message, key)
		if err == nil || again == 0 || try == publishTries {
			return err
		}
		if isUnsure && useful.Done() == nil {
			var cancel context.CancelFunc
			useful, cancel = context.WithTimeout(useful, publishRepeats)
			defer cancel()
		}
		select {
		case <-time.After(again):
		case <-useful.Done():
			return err
		}
	}
}

// try publishes one message. What it is refused with may pass, after a time; isUnsure says that it
// may be published all the same.
func (p *publisher) try(message []byte, key string) (again time.Duration, isUnsure bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(message))
	if err != nil {
		return 0, false, err
	}
	request.Header.Set("Content-Type", p.contentType)
	request.Header.Set("Idempotency-Key", key)
	if p.key != "" {
		request.Header.Set("Authorization", "Bearer "+p.key)
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return 0, false, unreached(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMax))
	if err != nil {
		return 0, false, err
	}
	var told struct {
		Members *int
		Error   struct{ Code, Message string }
	}
	err = json.Unmarshal(text, &told)
	switch {
	case answer.StatusCode == http.StatusOK && err == nil && told.Members != nil:
		return 0, false, nil
	case answer.StatusCode == http.StatusOK:
		return 0, false, errors.New("what answers there is no admin listener")
	case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		again = time.Duration(min(max(seconds, 0), 60)) * time.Second
	}
	if told.Error.Message == "" {
		told.Error.Message = "this is no admin listener's answer"
	}
	return again, told.Error.Code == "unacknowledged", fmt.Errorf("refused: %s: %s", answer.Status, printable(told.Error.Message))
}
