//go:build race

package gateway

const RaceEnabled = true
