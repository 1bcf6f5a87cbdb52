package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
)

func TestHistoryIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]gateway.HistoryRule{
		"ticker.*=messages:1":                      {Pattern: "ticker.*", Messages: 1},
		"chat.*=messages:1000,bytes:16MiB,age:10m": {Pattern: "chat.*", Messages: 1000, Bytes: 16 << 20, Age: 10 * time.Minute},
		" * = age:24h , bytes:1000 ":               {},
		"*=none":                                   {Pattern: "*", None: true},
		"[a:b]*=bytes:1K":                          {Pattern: "[a:b]*", Bytes: 1 << 10},
		"chat.*":                                   {},
		"chat.*=":                                  {},
		"chat.*=1000":                              {},
		"chat.*=messages":                          {},
		"chat.*=messages:0":                        {},
		"chat.*=messages:-1":                       {},
		"chat.*=messages:many":                     {},
		"chat.*=messages:1,messages:2":             {},
		"chat.*=bytes:0":                           {},
		"chat.*=bytes:large":                       {},
		"chat.*=age:0s":                            {},
		"chat.*=age:-1h":                           {},
		"chat.*=age:1d":                            {},
		"chat.*=none,messages:1":                   {},
		"chat.*=none:1":                            {},
		"chat.*=size:1":                            {},
	} {
		var h History
		err := h.UnmarshalText([]byte(text))
		if want.Pattern == "" {
			if err == nil && !strings.Contains(text, " ") {
				t.Errorf("%q is taken as %+v", text, h)
			}
			continue
		}
		if err != nil || h.HistoryRule != want {
			t.Errorf("%q: %+v, %v", text, h, err)
		}
		var again History
		if err := again.UnmarshalText([]byte(h.String())); err != nil || again != h {
			t.Errorf("%q is printed as %q, which is %+v, %v", text, h, again, err)
		}
	}
}

func TestHistoryOfAFileIsInTheRoomsTable(t *testing.T) {
	name := fileOf(t, `history-memory: 1GiB
rooms:
  "ticker.*": {policy: latest, history: {messages: 1, age: 24h}}
  "chat.*": {history: {messages: 1000, bytes: 16MiB}}
  "secret.*": {history: none, plain: true}
`)
	before, err := load([]string{"--config", name})
	if err != nil {
		t.Fatal(err)
	}
	want := []gateway.HistoryRule{
		{Pattern: "ticker.*", Messages: 1, Age: 24 * time.Hour},
		{Pattern: "chat.*", Messages: 1000, Bytes: 16 << 20},
		{Pattern: "secret.*", None: true},
	}
	if got := before.options().History; !reflect.DeepEqual(got, want) || len(before.Room) != 2 {
		t.Errorf("%+v, %+v", got, before.Room)
	}
	status, printed, stderr := say("config", "print", "--config", name)
	if status != 0 || !match(`history: \[['"]?ticker.\*=messages:1,age:24h0m0s['"]?, .* # `+name+`:2\n`, printed) {
		t.Fatalf("status %d, %s%s", status, printed, stderr)
	}
	after, err := load([]string{"--config", fileOf(t, printed)})
	if err != nil {
		t.Fatal(err)
	}
	if after.ConfigFile = before.ConfigFile; !reflect.DeepEqual(after.Config, before.Config) {
		t.Errorf("%+v\nis not\n%+v", after.Config, before.Config)
	}
}

// An alias stands for the rooms' tables, for what they say of history and for its bounds.
func TestHistoryOfAFileMayBeAnAlias(t *testing.T) {
	for _, text := range []string{
		`rooms: {"a.*": &x {history: {messages: 10}}, "b.*": *x}`,
		`rooms: {"a.*": {history: &h {messages: 10}}, "b.*": {history: *h}}`,
		`rooms: {"a.*": {history: &h "messages:10"}, "b.*": {history: *h}}`,
		`rooms: {"a.*": {history: {messages: &n 10}}, "b.*": {history: {messages: *n}}}`,
	} {
		c, err := load([]string{"--config", fileOf(t, text)})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := []gateway.HistoryRule{{Pattern: "a.*", Messages: 10}, {Pattern: "b.*", Messages: 10}}
		if got := c.options().History; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestFaultsOfAHistoryAreSaid(t *testing.T) {
	for text, want := range map[string]string{
		"rooms:\n  a: {history: {mesages: 1}}":                    `:2: rooms: history: rule "a=mesages:1": there is no bound "mesages"`,
		"rooms:\n  a: {history: [1]}":                             `:2: rooms: a: history takes bounds`,
		"rooms:\n  a: {history: {messages: 0}}":                   `:2: rooms: history: rule "a=messages:0": messages: "0" is no number`,
		"rooms:\n  a: {history: none}\nhistory: b=messages:1":     `:3: history says what rooms in line 1 has said`,
		"history: b=messages:1\nrooms:\n  a: {history: none}":     `:2: rooms says of history what history in line 1 has said`,
		"rooms:\n  a: {history: {bytes: 1}}":                      `--history: rule "a": bytes: 1 is less than 1024`,
		"rooms:\n  a: {history: {bytes: 1GiB}}":                   `--history-memory 256MiB: must be at least what --history lets one room keep and --room-backlog, 1GiB`,
		"rooms:\n  a/b: {history: none}":                          `--history: rule "a/b": can count for no room`,
		"history: ['a=messages:1', 'a=none']":                     `--history: rule "a" never counts`,
		"history-memory: 0":                                       `--history-memory 0B: must be at least`,
		"history: a":                                              `:1: history: "a" is not a rule`,
		"rooms:\n  a: {histori: none}":                            `:2: rooms: a: there is no "histori" there, did you mean "history"?`,
		"rooms:\n  a: {history: {messages: 1, messages: 2}}\n":    `:2: messages is here for the second time`,
		"rooms:\n  a: {history: messages:1, history: messages:2}": `:2: history is here for the second time`,
	} {
		status, stdout, stderr := say("config", "check", fileOf(t, text))
		if status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: status %d, said %q %q, want %q", text, status, stdout, stderr, want)
		}
		if n := strings.Count(stderr, "there is no bound"); n > 1 {
			t.Errorf("%q: it is said %d times: %q", text, n, stderr)
		}
	}
}
