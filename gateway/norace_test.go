//go:build !race

package gateway

const RaceEnabled = false
