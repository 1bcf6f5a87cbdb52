//go:build !linux

package main

import "time"

// There is no systemd here to be told.
const isReady, isStopping, goesRound = "", "", ""

func tell(...string)                  {}
func tellReloading()                  {}
func watchdogInterval() time.Duration { return 0 }
