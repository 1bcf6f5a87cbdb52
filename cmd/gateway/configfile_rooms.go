package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"sluice/gateway"
)

// Rooms are a table in the file: what is repeated --room on the command line.
const (
	roomsKey = "rooms"
	roomFlag = "room"
)

// rooms makes rules of the table.
func (f *configFile) rooms(table *yaml.Node, sep rune) (text string, ok bool) {
	if table.Kind != yaml.MappingNode {
		f.fault(table.Line, `rooms takes patterns with what is different in these rooms, as "ticker.*": {policy: latest}`)
		return "", false
	}
	var rules []string
	ok = true
	f.each(table, func(pattern, about *yaml.Node) {
		var words []string
		switch about.Kind {
		case yaml.MappingNode:
			f.each(about, func(key, value *yaml.Node) {
				if key.Value == historyFlag {
					return // It is of another flag.
				}
				word, fault := ruleWord(key.Value, value)
				if fault != "" {
					f.fault(value.Line, "rooms: %s: %s", pattern.Value, fault)
					ok = false
				} else if word != "" {
					words = append(words, word)
				}
			})
		default:
			f.fault(about.Line, "rooms: %s takes a table, as {policy: latest, plain: true}", pattern.Value)
			ok = false
		}
		if len(words) == 0 {
			return // All of it was false, or has been said to be wrong.
		}
		rule := pattern.Value + "=" + strings.Join(words, ",")
		if err := new(gateway.RoomRule).UnmarshalText([]byte(rule)); err != nil {
			f.fault(pattern.Line, "rooms: %v", err)
			ok = false
		}
		rules = append(rules, escape(rule, sep))
	})
	return strings.Join(rules, string(sep)), ok && len(rules) > 0
}

// roomWords are what may be true of a room.
var roomWords = []string{"readonly", "plain", "deflate", "presence", "joins", "nopresence"}

// noSuchWord says what may stand in a room's table, and what may have been meant.
func noSuchWord(key string) string {
	words := append([]string{"policy", historyFlag}, roomWords...)
	text := fmt.Sprintf("there is no %q there", key)
	if guess := nearest(key, words); guess != "" {
		return text + ", " + guess
	}
	return text + ": it is " + strings.Join(words, ", ")
}

// ruleWord is what a command line says for a key of a room's table; empty for what is not so.
func ruleWord(key string, value *yaml.Node) (word, fault string) {
	var isSo bool
	switch {
	case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
		return "", key + " takes one value"
	case key == "policy":
		return value.Value, ""
	case !slices.Contains(roomWords, key):
		return "", noSuchWord(key)
	case value.Decode(&isSo) != nil:
		return "", key + " takes true or false"
	case isSo:
		return key, ""
	}
	return "", ""
}

// historyFlag is the flag that a room's history in the file is for.
const historyFlag = "history"

// histories makes rules of --history of what the rooms' table says of it.
func (f *configFile) histories(flag *kong.Flag, table, rooms *yaml.Node) {
	if rooms.Kind != yaml.MappingNode || flag == nil {
		return // The former is said elsewhere.
	}
	var rules []string
	for i := 0; i+1 < len(rooms.Content); i += 2 {
		pattern, about := rooms.Content[i], resolved(rooms.Content[i+1])
		for j := 0; about.Kind == yaml.MappingNode && j+1 < len(about.Content); j += 2 {
			key, value := about.Content[j], resolved(about.Content[j+1])
			if key.Value != historyFlag {
				continue
			}
			rule := pattern.Value + "=" + f.bounds(pattern.Value, value)
			if err := new(History).UnmarshalText([]byte(rule)); err != nil {
				f.fault(value.Line, "rooms: history: %v", err)
				continue // Or the flag would complain of it again.
			}
			rules = append(rules, escape(rule, flag.Tag.Sep))
		}
	}
	if len(rules) == 0 {
		return
	}
	if before, ok := f.entries[flag.Name]; ok {
		f.fault(table.Line, "rooms says of history what %s in line %d has said: write it in one place", before.key, before.line)
		return
	}
	f.entries[flag.Name] = entry{roomsKey, strings.Join(rules, string(flag.Tag.Sep)), table.Line}
}

// bounds are those of one room as a command line has them: of a table, or as they stand.
func (f *configFile) bounds(pattern string, v *yaml.Node) string {
	switch {
	case v.Kind == yaml.ScalarNode && v.Tag != "!!null":
		return v.Value
	case v.Kind == yaml.MappingNode:
		var bounds []string
		f.each(v, func(key, value *yaml.Node) { bounds = append(bounds, key.Value+":"+value.Value) })
		return strings.Join(bounds, ",")
	}
	f.fault(v.Line, "rooms: %s: history takes bounds, as {messages: 1000, bytes: 4MiB, age: 24h}, or none", pattern)
	return "none"
}
