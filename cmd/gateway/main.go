// Command gateway is Sluice: what one WebSocket client sends, every client of its room receives.
// See README.md for what it is for, and --help for its flags.
package main

import (
	"os"
	"runtime/debug"
	"strings"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // could not start or go on, or what was asked for went wrong
	exitUsage  = 2 // flags, environment or configuration make no sense
	exitCut    = 3 // stopped by another signal

	exitInterrupted = 130 // a command that its user ended by SIGINT or SIGTERM, as shells say it
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// version is the module's version, or the commit a development build was made from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := strings.Trim(info.Main.Version, "()")
	if v == "" {
		v = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(v, s.Value[:12]) {
			v += " " + s.Value[:12]
		}
	}
	return v + " " + info.GoVersion
}
