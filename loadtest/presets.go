package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A preset is a named load. A flag on the command line wins over the preset's.
type preset struct {
	about string
	flags map[string]string
}

var presets = map[string]preset{
	"chat": {
		"1,000 clients of which 50 write 50 messages a second, mostly short ones, for half a minute",
		map[string]string{"clients": "1000", "publishers": "50", "size": "chat", "rate": "50", "duration": "30s"},
	},
	"ticker": {
		"5,000 clients hear one source 20 times a second for half a minute",
		map[string]string{"clients": "5000", "publishers": "1", "size": "ticker", "rate": "20", "duration": "30s"},
	},
	"storm": {
		"of 5,000 clients 30 % drop at once and return, while a message is sent ten times a second",
		map[string]string{"clients": "5000", "publishers": "1", "rate": "10", "duration": "20s", "storm": "30%"},
	},
	"stalled": {
		"100 of 1,000 clients never read 5,000 messages of 1 KiB, eight of which are on their way at a time",
		map[string]string{"clients": "1000", "publishers": "1", "size": "1024", "messages": "5000", "window": "8", "stalled": "100"},
	},
	"idle": {
		"10,000 clients hear one message a second for half a minute",
		map[string]string{"clients": "10000", "publishers": "1", "rate": "1", "duration": "30s"},
	},
}

// describePresets is for --help.
func describePresets() string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		p := presets[name]
		var flags []string
		for _, flag := range slices.Sorted(maps.Keys(p.flags)) {
			flags = append(flags, "--"+flag+" "+p.flags[flag])
		}
		lines = append(lines, fmt.Sprintf("    %-8s %s:\n             %s", name, p.about, strings.Join(flags, " ")))
	}
	return strings.Join(lines, "\n")
}

// presetResolver fills in the flags that --preset names and the command line does not.
type presetResolver struct{}

// Validate implements kong.Resolver.
func (presetResolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (presetResolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, p := range ctx.Path {
		if p.Flag == nil || p.Flag.Name != "preset" {
			continue
		}
		name, _ := ctx.Value(p).Interface().(string)
		if value, ok := presets[name].flags[flag.Name]; ok {
			return value, nil
		}
	}
	return nil, nil
}
