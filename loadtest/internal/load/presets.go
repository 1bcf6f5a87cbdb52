package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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

// PresetNames are the names for --preset, sorted.
func PresetNames() []string { return slices.Sorted(maps.Keys(presets)) }

// PresetFlag is what a preset sets a flag, named without dashes, to. A preset or flag that does not
// exist is not set.
func PresetFlag(preset, flag string) (value string, isSet bool) {
	value, isSet = presets[preset].flags[flag]
	return value, isSet
}

// DescribePresets is the part of --help that names them with their flags.
func DescribePresets() string {
	var lines []string
	for _, name := range PresetNames() {
		p := presets[name]
		var flags []string
		for _, flag := range slices.Sorted(maps.Keys(p.flags)) {
			flags = append(flags, "--"+flag+" "+p.flags[flag])
		}
		lines = append(lines, fmt.Sprintf("    %-8s %s:\n             %s", name, p.about, strings.Join(flags, " ")))
	}
	return strings.Join(lines, "\n")
}
