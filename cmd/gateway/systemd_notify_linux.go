package main

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// What systemd is told of this process (sd_notify(3)).
const (
	isReady    = daemon.SdNotifyReady
	isStopping = daemon.SdNotifyStopping
	goesRound  = daemon.SdNotifyWatchdog
)

// tell tells systemd, if it has started us and wants to know. Where it cannot be told it will find
// out.
func tell(states ...string) { _, _ = daemon.SdNotify(false, strings.Join(states, "\n")) }

// tellReloading tells that the configuration is read, and since when: Type=notify-reload wants to
// know.
func tellReloading() { tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec()) }

// watchdogInterval is how often systemd wants to hear from us; zero: not at all. No child is to
// believe itself asked.
func watchdogInterval() time.Duration {
	interval, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return 0
	}
	return interval
}
