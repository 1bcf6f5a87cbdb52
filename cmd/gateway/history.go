package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/gateway"
)

// A History is a rule of --history, written PATTERN=messages:1000,bytes:16MiB,age:10m or
// PATTERN=none.
type History struct{ gateway.HistoryRule }

// UnmarshalText parses a rule.
func (h *History) UnmarshalText(text []byte) error {
	pattern, bounds, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok {
		return fmt.Errorf("%q is not a rule: write PATTERN=BOUND,BOUND, as in chat.*=messages:1000,bytes:4MiB,age:24h", text)
	}
	*h = History{gateway.HistoryRule{Pattern: pattern}}
	said := map[string]bool{}
	for bound := range strings.SplitSeq(bounds, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(bound), ":")
		if said[name] {
			return fmt.Errorf("rule %q: there are two %s", text, name)
		}
		said[name] = true
		if err := h.take(name, value); err != nil {
			return fmt.Errorf("rule %q: %w", text, err)
		}
	}
	if said["none"] && len(said) > 1 {
		return fmt.Errorf("rule %q: none is nothing kept, so no bound can stand beside it", text)
	}
	return nil
}

// take sets one bound. How large it may be is the library's to say.
func (h *History) take(name, value string) (err error) {
	switch name {
	case "none":
		h.None = true
		if value != "" {
			err = errors.New("none takes no value")
		}
	case "messages":
		if h.Messages, err = strconv.Atoi(value); err != nil || h.Messages < 1 {
			err = fmt.Errorf("messages: %q is no number from 1 on", value)
		}
	case "bytes":
		var size Size
		if err = size.UnmarshalText([]byte(value)); err == nil && size == 0 {
			err = fmt.Errorf("bytes: %q keeps nothing: write none for that", value)
		}
		h.Bytes = int64(size)
	case "age":
		if h.Age, err = time.ParseDuration(value); err != nil || h.Age <= 0 {
			err = fmt.Errorf("age: %q is no time: write 30s, 10m, 24h", value)
		}
	default:
		err = fmt.Errorf("there is no bound %q: it is messages:N, bytes:SIZE, age:TIME, or none", name)
	}
	return err
}

// String is what UnmarshalText reads.
func (h History) String() string {
	var bounds []string
	if h.None {
		bounds = append(bounds, "none")
	}
	if h.Messages != 0 {
		bounds = append(bounds, "messages:"+strconv.Itoa(h.Messages))
	}
	if h.Bytes != 0 {
		bounds = append(bounds, "bytes:"+Size(h.Bytes).String())
	}
	if h.Age != 0 {
		bounds = append(bounds, "age:"+h.Age.String())
	}
	return h.Pattern + "=" + strings.Join(bounds, ",")
}

// historyRules are the library's.
func historyRules(given []History) (all []gateway.HistoryRule) {
	for _, h := range given {
		all = append(all, h.HistoryRule)
	}
	return all
}
