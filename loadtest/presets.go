package main

import (
	"github.com/alecthomas/kong"
)

// presets are named loads. A flag on the command line wins over the preset's.
var presets = map[string]map[string]string{
	"chat":    {"clients": "1000", "publishers": "50", "size": "chat", "rate": "50", "duration": "30s"},
	"ticker":  {"clients": "5000", "publishers": "1", "size": "ticker", "rate": "20", "duration": "30s"},
	"storm":   {"clients": "5000", "publishers": "1", "rate": "10", "duration": "20s", "storm": "30%"},
	"stalled": {"clients": "1000", "publishers": "1", "size": "1024", "messages": "5000", "window": "8", "stalled": "100"},
	"idle":    {"clients": "10000", "publishers": "1", "rate": "1", "duration": "30s"},
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
		if value, ok := presets[name][flag.Name]; ok {
			return value, nil
		}
	}
	return nil, nil
}
