package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestMostSpecificHistoryRuleCountsAlone(t *testing.T) {
	c := &config{Options: Options{History: []HistoryRule{
		{Pattern: "*", Messages: 1},
		{Pattern: "chat.*", Bytes: 2 << 20, Age: time.Hour},
		{Pattern: "chat.s*", None: true},
		{Pattern: "ch?t.*", Messages: 3},
	}}}
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	for room, want := range map[string]HistoryRule{
		"a":         {Pattern: "*", Messages: 1, Bytes: historyBytes, Age: historyAge},
		"chat.room": {Pattern: "chat.*", Bytes: 2 << 20, Age: time.Hour},
		"chat.some": {Pattern: "chat.s*", None: true},
		"chit.room": {Pattern: "ch?t.*", Messages: 3, Bytes: historyBytes, Age: historyAge},
	} {
		if got := c.historyRule(room); got == nil || *got != want {
			t.Errorf("%s: %+v, want %+v", room, got, want)
		}
	}
	if got := (&config{}).historyRule("a"); got != nil {
		t.Errorf("a room of no rule has %+v", got)
	}
}

func TestHistoryRulesThatCannotBeKeptToAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"":                                   {History: []HistoryRule{{Pattern: "a"}, {Pattern: "*", None: true}, {Pattern: "b", Bytes: 64 << 20, Age: time.Second}}},
		`"a/b": can count for no room`:       {History: []HistoryRule{{Pattern: "a/b"}}},
		"messages: -1 is less than 1":        {History: []HistoryRule{{Pattern: "a", Messages: -1}}},
		"bytes: 1 is less than 1024":         {History: []HistoryRule{{Pattern: "a", Bytes: 1}}},
		"age: 1ms is not 1s to 1000h0m0s":    {History: []HistoryRule{{Pattern: "a", Age: time.Millisecond}}},
		"none is nothing kept":               {History: []HistoryRule{{Pattern: "a", None: true, Messages: 1}}},
		`"a" never counts`:                   {History: []HistoryRule{{Pattern: "a"}, {Pattern: "b"}, {Pattern: "a", Messages: 2}}},
		"HistoryMemory: -1 is less than":     {HistoryMemory: -1},
		"1048575 is less than what a rule":   {HistoryMemory: 1<<20 - 1, History: []HistoryRule{{Pattern: "a"}}},
		"268435456 is less than what a rule": {History: []HistoryRule{{Pattern: "a", Bytes: 256<<20 + 1}}},
		"is less than RoomBacklog, 16777216": {HistoryMemory: 2 << 20, History: []HistoryRule{{Pattern: "a"}}},
		"bytes: -5 is less than 1024":        {History: []HistoryRule{{Pattern: "a", Bytes: -5}}},
		`rule "": can count for no room: ""`: {History: []HistoryRule{{}}},
	} {
		err := o.Validate()
		if want == "" && err == nil {
			continue
		}
		one := new(OptionError)
		if want == "" || !errors.As(err, &one) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o.History, err, want)
		}
	}
	given := []HistoryRule{{Pattern: "a"}}
	if got := (Options{History: given}).Defaults().History; got[0].Bytes != historyBytes || given[0].Bytes != 0 {
		t.Errorf("%+v of %+v", got, given)
	}
}
